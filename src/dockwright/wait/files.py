"""Waiting for a file on this host to appear, or to be gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dockwright.wait.file_watch import wake_on_change
from dockwright.wait.outcome import Continue, Failed, Outcome, Ready
from dockwright.wait.strategy import Check, Wait


@dataclass(frozen=True, slots=True)
class File:
    """A file or directory on this host exists (a link also has to lead somewhere)."""

    path: str | Path

    @property
    def survives_exit(self) -> bool:
        """The file may be what an ended process leaves."""
        return False

    def __str__(self) -> str:
        return f"to make the file {self.path}"

    def begin(self, wait: Wait) -> Check:
        """Start to observe the file's directory."""
        path = (wait.target.cwd / self.path).absolute()
        wait.closing.callback(wake_on_change(path, wait.wakeup.set))
        return lambda: _look(path, wanted=True)


@dataclass(frozen=True, slots=True)
class FileDeleted:
    """A file or directory on this host is gone, or never was."""

    path: str | Path

    @property
    def survives_exit(self) -> bool:
        """An ending process often deletes its files."""
        return True

    def __str__(self) -> str:
        return f"to delete the file {self.path}"

    def begin(self, wait: Wait) -> Check:
        """Start to observe the file's directory."""
        path = (wait.target.cwd / self.path).absolute()
        wait.closing.callback(wake_on_change(path, wait.wakeup.set))
        return lambda: _look(path, wanted=False)


def _look(path: Path, *, wanted: bool) -> Outcome:
    try:
        # A link that leads nowhere does not exist as a file, and is not deleted either.
        path.stat(follow_symlinks=wanted)
    except (FileNotFoundError, NotADirectoryError):
        return Continue(f"{path} does not exist") if wanted else Ready(path)
    except OSError as error:
        return Failed(f"{path} cannot be looked at: {error.strerror}")
    return Ready(path) if wanted else Continue(f"{path} still exists")
