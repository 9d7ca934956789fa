"""What a test's own things are, written to disk before they are made, so that they can be reaped.

A stack's parts bear labels. What a test makes by calls of its own may bear none: its names are
written down here, and only names of what was not there then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dockwright.engine import current_owner, owner_is_alive
from dockwright.errors import ResourceError
from dockwright.model import Owner, Ownership
from dockwright.recording.codec import decoded
from dockwright.untrusted import json_value

_OWNER_FILE = "owner.json"
JOURNAL = "journal.jsonl"
"""The file of a workspace that lists what its owner created elsewhere: a `ResourceJournal`."""


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

        One with a journal stays: what it lists has to go first (`dockwright.pool.reaper`).
        """
        count = 0
        for file in (state / "sessions").glob(f"*/{_OWNER_FILE}"):
            with suppress(OSError, ValueError):  # half written, or going away just now
                owner = decoded(Owner, json_value(file.read_bytes()))
                if not owner_is_alive(owner) and not (file.parent / JOURNAL).exists():
                    shutil.rmtree(file.parent, ignore_errors=True)
                    count += 1
        return count


Kind: TypeAlias = Literal["process", "container", "network", "volume", "image", "file", "directory"]
"""The kinds of things."""

LABELLED: Literal["labelled"] = "labelled"
"""What stands for all containers, networks, volumes and images with a label."""

KINDS: tuple[Kind, ...] = (
    "process",
    "container",
    "network",
    "volume",
    "image",
    "file",
    "directory",
)
"""In the order in which they are removed."""

ON_ENGINE = frozenset({"container", "network", "volume", "image", LABELLED})


@dataclass(frozen=True, slots=True)
class TrackedResource:
    """Something that a test is about to create.

    Attributes:
        kind: what it is; `LABELLED`: everything with a label.
        name: its name on the engine, its path, its pid, or the label: ``key=value``.
        engine: the URL of the engine that it is on; empty for what is on no engine.
        ours: whether dockwright invented the name, so that whatever has it is ours; for a
            process: whether it is found by its marks, like all processes that it starts.
        started_s: when a process started, seconds since the epoch.
        before: what had the label before: ids, and names of volumes.
    """

    kind: Literal[Kind, "labelled"]
    name: str
    engine: str = ""
    ours: bool = False
    started_s: float = 0.0
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceJournal:
    """The list of what one owner creates, in its workspace.

    Attributes:
        workspace: where it lies.
        ownership: whose it is; the session's id is the name of the workspace.
    """

    workspace: Workspace
    ownership: Ownership

    @classmethod
    def create(cls, state: Path, ownership: Ownership) -> ResourceJournal:
        """Begin the journal of this process, in a workspace of its own."""
        journal = cls(Workspace.create(state, ownership.session), ownership)
        journal.replace(())
        return journal

    @classmethod
    def all(cls, state: Path) -> Iterator[ResourceJournal]:
        """Yield the journals that are there, whoever owns them."""
        for file in sorted((state / "sessions").glob(f"*/{JOURNAL}")):
            with suppress(OSError, ValueError):  # it is damaged, or just going away
                head = json_value(file.read_bytes().partition(b"\n")[0])
                yield cls(Workspace(file.parent), decoded(Ownership, head))

    @property
    def name(self) -> str:
        """The name under which everything of the journal is listed."""
        return self.ownership.session

    @property
    def last_seen_s(self) -> float:
        """When its owner was last seen alive, seconds since the epoch."""
        return self._file.stat().st_mtime

    def add(self, resource: TrackedResource) -> None:
        """Record what is about to be created."""
        line = json.dumps(asdict(resource)) + "\n"
        with self._file.open("a") as file:
            file.write(line)

    def beat(self) -> None:
        """Show that the owner is alive."""
        with suppress(FileNotFoundError):  # it was closed meanwhile
            os.utime(self._file)

    def resources(self) -> list[TrackedResource]:
        """Return what is recorded, without a line that the owner's death cut off."""
        found: list[TrackedResource] = []
        with suppress(FileNotFoundError):  # it was closed meanwhile
            for line in self._file.read_bytes().splitlines()[1:]:
                with suppress(ValueError):
                    found.append(decoded(TrackedResource, json_value(line)))
        return found

    def replace(self, resources: Iterable[TrackedResource]) -> None:
        """Replace the list atomically: a reader sees the old or the new one."""
        lines = [asdict(self.ownership), *(asdict(resource) for resource in resources)]
        draft = self._file.with_suffix(".new")
        draft.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if self._file.exists():
            os.utime(draft, (self.last_seen_s, self.last_seen_s))  # a reaper is not its owner
        draft.replace(self._file)

    def remove(self) -> None:
        """End it, and its workspace with it."""
        self.workspace.remove()

    @property
    def _file(self) -> Path:
        return self.workspace.directory / JOURNAL


@dataclass(frozen=True, slots=True)
class RetainedStacks:
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
        with suppress(FileNotFoundError, NotADirectoryError):
            return frozenset(file.name for file in self.directory.iterdir())
        return frozenset()
