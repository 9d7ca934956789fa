"""What a backup or restore has in hand, on disk: the next command undoes what a killed one left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dockwright._files import sync_directory, write_file
from dockwright.engine import current_owner
from dockwright.errors import StackBusyError, StackError
from dockwright.paths import state_directory
from dockwright.untrusted import json_value

Document = dict[str, Any]  # JSON; each kind of journal has fields of its own


@dataclass(frozen=True, slots=True)
class RestoreJournal:
    """The journal of one stack on one engine, whether there is one or not.

    Attributes:
        directory: holds it and what belongs to it; mode 0700.
    """

    directory: Path

    @classmethod
    def of(cls, project: str, engine_url: str) -> RestoreJournal:
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
            return dict(json_value(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        except (IsADirectoryError, TypeError, ValueError) as exc:
            raise StackError(
                f"{self._file} is damaged: what a killed command left cannot be undone",
                hint=f"the data from before is in {self.safety}, if that exists; to go on without "
                f"it, remove {self.directory}",
            ) from exc

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


@contextmanager
def exclusive(project: str, *, what: str) -> Iterator[None]:
    """Hold the right to change the long-lived stack `project` on this machine.

    Take it before `long_lived_stack` looks at what there is. It may be nested: who has it in this
    process has it.

    Args:
        project: the project name of the stack.
        what: the command that changes it, e.g. ``backup``; others are told of it.

    Raises:
        StackBusyError: another process holds it; says which command of which process.
    """
    descriptor = _locked(_file(project))
    if descriptor is None:
        if not _is_own(_holder(project)):
            raise _busy(project)
        yield
        return
    try:
        _tell(descriptor, what)
        yield
    finally:
        # Before it is freed: whoever gets the lock of a removed file sees that, and tries again.
        _file(project).unlink(missing_ok=True)
        os.close(descriptor)


def _file(project: str) -> Path:
    return state_directory() / "stacks" / f"{project}.lock"


def _locked(file: Path) -> int | None:
    """Return a descriptor of the file that holds its lock; None where somebody else has it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, file):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:  # also Ctrl-C: an open file would keep the lock
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _tell(descriptor: int, what: str) -> None:
    holder = {"what": what, "since": time.time(), "owner": asdict(current_owner())}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(project: str) -> dict[str, Any]:  # as `_tell` wrote it
    try:
        found = json_value(_file(project).read_bytes())
    except (OSError, ValueError):
        return {}  # it has just been taken, or just been freed
    return found if isinstance(found, dict) else {}


def _is_own(holder: dict[str, Any]) -> bool:
    return bool(holder.get("owner") == asdict(current_owner()))


def _busy(project: str) -> StackBusyError:
    holder = _holder(project)
    who = "another dockwright command is changing it"
    with suppress(KeyError, TypeError, ValueError, OverflowError):  # nothing, or it is damaged
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        pid = holder["owner"]["pid"]
        who = f"`dockwright stack {holder['what']}` (process {pid}, since {since}) is at work on it"
    return StackBusyError(
        f"stack {project} is busy: {who}", hint="wait until that has ended, or end it first"
    )
