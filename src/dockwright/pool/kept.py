"""Which stacks were kept after a failed test, so that the reaper spares them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeptStacks:
    """A directory with one empty file for each kept copy, named as its Compose project.

    Attributes:
        directory: is created when the first one is kept.
    """

    directory: Path

    def add(self, project: str) -> None:
        """Remember that a copy is to be spared."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.directory / project).touch(mode=0o600)

    def forget(self, project: str) -> None:
        """Spare it no longer."""
        with suppress(FileNotFoundError):
            (self.directory / project).unlink()

    def names(self) -> frozenset[str]:
        """Return the project names of all kept copies."""
        with suppress(FileNotFoundError):
            return frozenset(file.name for file in self.directory.iterdir())
        return frozenset()
