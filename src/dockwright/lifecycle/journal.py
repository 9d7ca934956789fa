"""What a backup or restore has in hand, on disk: the next command undoes what a killed one left."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockwright._files import sync_directory, write_file
from dockwright.errors import StackError
from dockwright.places import state_directory

Document = dict[str, Any]  # JSON; each kind of journal has fields of its own


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of one stack on one engine, whether there is one or not.

    Attributes:
        directory: holds it and what belongs to it; mode 0700.
    """

    directory: Path

    @classmethod
    def of(cls, project: str, engine_url: str) -> Journal:
        """Return the journal of a stack."""
        engine = hashlib.sha256(engine_url.encode()).hexdigest()[:12]
        return cls(state_directory() / "stacks" / f"{project}-{engine}")

    @property
    def safety(self) -> Path:
        """Where the safety copy of the stack's data is."""
        return self.directory / "safety"

    @property
    def _file(self) -> Path:
        return self.directory / "journal.json"

    def exists(self) -> bool:
        """Tell whether something was left here, half done or not."""
        return self.directory.exists()

    def read(self) -> Document | None:
        """Return what was written last; None where nothing is to be undone.

        Raises:
            StackError: it is damaged.
        """
        try:
            document = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as exc:
            raise StackError(
                f"{self._file} is damaged: what a killed command left cannot be undone",
                hint=f"the data from before is in {self.safety}, if that exists; to go on without "
                f"it, remove {self.directory}",
            ) from exc
        return dict(document)

    def write(self, document: Mapping[str, Any]) -> None:
        """Write it anew, whole or not at all, and to the disk."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self._file, json.dumps(document).encode(), sync=True)
        sync_directory(self.directory)

    def close(self) -> None:
        """Remove it, which is the moment in which all is done; then what belongs to it."""
        if self._file.exists():
            self._file.unlink()
            sync_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
