"""The directory that one owner keeps on disk, so that it can be reaped like everything else."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dockwright.engine import current_owner, owner_is_alive
from dockwright.errors import ResourceError
from dockwright.model import Owner

_OWNER_FILE = "owner.json"
JOURNAL = "journal.jsonl"
"""The file of a workspace that tells what its owner made elsewhere (see `Journal`)."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A directory for baselines and logs, mode 0700, that names its owner.

    Attributes:
        directory: the directory itself.
    """

    directory: Path

    @classmethod
    def create(cls, state: Path, session: str) -> Workspace:
        """Make the workspace of one session, owned by this process.

        Raises:
            ResourceError: it cannot be written: no space, no permission.
        """
        directory = state / "sessions" / session
        try:
            directory.mkdir(parents=True, mode=0o700)
            (directory / _OWNER_FILE).write_text(json.dumps(asdict(current_owner())))
        except OSError as exc:
            shutil.rmtree(directory, ignore_errors=True)
            raise ResourceError(
                f"cannot write to {directory}: {exc.strerror}",
                hint="make room there, or set XDG_STATE_HOME to a directory that can be written",
            ) from exc
        return cls(directory)

    def remove(self) -> None:
        """Delete the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def reap(state: Path) -> int:
        """Delete the workspaces of dead owners; return how many.

        One with a journal stays: what it tells of has to go first (`dockwright.pool.reaper`).
        """
        count = 0
        for file in (state / "sessions").glob(f"*/{_OWNER_FILE}"):
            with suppress(OSError, ValueError, TypeError):  # half written, or going away just now
                owner = Owner(**json.loads(file.read_text()))
                if not owner_is_alive(owner) and not (file.parent / JOURNAL).exists():
                    shutil.rmtree(file.parent, ignore_errors=True)
                    count += 1
        return count
