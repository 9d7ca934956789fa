"""What a backup or restore is doing, on disk, and the lock of a stack.

If a command is killed, the next command reads its journal and undoes what it left half done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dockwright._files import locked, sync_directory, write_file
from dockwright.engine import current_owner
from dockwright.errors import StackBusyError, StackError
from dockwright.paths import state_directory
from dockwright.untrusted import json_value

Document = dict[str, Any]  # JSON; each kind of journal has fields of its own


@dataclass(frozen=True, slots=True)
class RestoreJournal:
    """The journal of one stack on one engine, whether it exists or not.

    Attributes:
        directory: contains the journal and the safety copy; mode 0700.
    """

    directory: Path

    @classmethod
    def of(cls, project: str, engine_url: str) -> RestoreJournal:
        """Return the journal of a stack."""
        engine = hashlib.sha256(engine_url.encode()).hexdigest()[:12]
        return cls(state_directory() / "stacks" / f"{project}-{engine}")

    @property
    def safety(self) -> Path:
        """The directory of the safety copy of the stack's data."""
        return self.directory / "safety"

    @property
    def _file(self) -> Path:
        return self.directory / "journal.json"

    def exists(self) -> bool:
        """Return whether a command is at work, or left something here when it was killed."""
        return self.directory.exists()

    def read(self) -> Document | None:
        """Return what was written last, or None if there is nothing to undo.

        Raises:
            StackError: the journal is damaged.
        """
        try:
            return dict(json_value(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        except (IsADirectoryError, TypeError, ValueError) as exc:
            raise StackError(
                f"{self._file} is damaged: cannot undo what a killed command left",
                hint=f"if {self.safety} exists, it has the previous data; to continue without "
                f"it, remove {self.directory}",
            ) from exc

    def write(self, document: Mapping[str, Any]) -> None:
        """Replace the journal, completely or not at all, and wait until it is on the disk."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self._file, json.dumps(document).encode(), sync=True)
        sync_directory(self.directory)

    def close(self) -> None:
        """Remove the journal, which completes the command; then remove its directory."""
        if self._file.exists():
            self._file.unlink()
            sync_directory(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def exclusive(project: str, *, what: str) -> Iterator[None]:
    """Hold the lock of the long-lived stack `project` on this machine.

    Take it before you call `long_lived_stack`. A process that holds it may take it again.

    Args:
        project: the project name of the stack.
        what: the command that changes the stack, e.g. ``backup``; other commands show it.

    Raises:
        StackBusyError: another process holds the lock; names its command and pid.
    """
    file = state_directory() / "stacks" / f"{project}.lock"
    with locked(file, create=True, timeout_s=0) as held:
        if not held:
            holder = _holder(file)
            if holder.get("owner") != asdict(current_owner()):
                raise _busy(project, holder)
            yield  # an outer block of this process holds it
            return
        try:
            document = {"what": what, "since": time.time(), "owner": asdict(current_owner())}
            file.write_text(json.dumps(document))
            yield
        finally:
            file.unlink(missing_ok=True)


def _holder(file: Path) -> Document:
    """Return what the holder of the lock wrote; empty if it has just taken or released it."""
    try:
        found = json_value(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _busy(project: str, holder: Document) -> StackBusyError:
    who = "another dockwright command is changing it"
    with suppress(KeyError, TypeError, ValueError, OverflowError):  # nothing, or it is damaged
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        pid = holder["owner"]["pid"]
        who = f"`dockwright stack {holder['what']}` is running (process {pid}, since {since})"
    return StackBusyError(
        f"stack {project} is busy: {who}", hint="wait until it has finished, or stop it"
    )
