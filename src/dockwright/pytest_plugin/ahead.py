"""Starts stacks while pytest collects: those that the last run of the same arguments needed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_log = logging.getLogger(__name__)

_MOST_RUNS = 50
_OPTIONS = ("keyword", "markexpr", "lf", "failedfirst", "newfirst", "stepwise", "deselect")


@dataclass(frozen=True, slots=True)
class LastNeeds:
    """Remembers which stacks a run with these arguments needed.

    Attributes:
        file: holds what the runs of one project needed, by their key, the latest last.
        key: stands for the arguments.
    """

    file: Path
    key: str

    @classmethod
    def of(cls, config: pytest.Config, root: Path) -> LastNeeds:
        """Return the memory for a run of a project, in any of its processes."""
        # Imported here: every pytest run loads this module, and most use no stack.
        from dockwright.paths import project_hash, state_directory

        asked = [*map(str, config.args), str(config.rootpath)]
        asked += [f"{name}={config.getoption(name, default=None)}" for name in _OPTIONS]
        digest = hashlib.sha256("\0".join(asked).encode()).hexdigest()
        return cls(state_directory() / "needs" / f"{project_hash(root)}.json", digest[:16])

    def read(self) -> list[str]:
        """Return the stacks that the last such run needed; none where nothing is known."""
        return self._all().get(self.key, [])

    def write(self, stacks: Collection[str]) -> None:
        """Remember the stacks that this run needs."""
        runs = self._all()
        if runs.get(self.key, []) == sorted(stacks):
            return
        runs.pop(self.key, None)
        if stacks:
            runs[self.key] = sorted(stacks)
        draft = self.file.with_suffix(f".{self.key}.draft")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_text(json.dumps(dict(list(runs.items())[-_MOST_RUNS:])))
            draft.replace(self.file)
        except OSError as failure:  # the next run starts its stacks a little later
            _log.debug("cannot remember what this run needs: %s", failure)

    def _all(self) -> dict[str, list[str]]:
        try:
            found = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            str(key): [str(each) for each in stacks]
            for key, stacks in found.items()
            if isinstance(stacks, list)
        }
