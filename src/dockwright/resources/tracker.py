"""Tracks what a test creates itself, before it is created, and removes it in the right order."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeAlias

import psutil

from dockwright import __version__
from dockwright._files import locked
from dockwright.engine import Engine, connect, current_owner, owner_is_alive
from dockwright.errors import (
    AlreadyTrackedError,
    CleanupError,
    ConflictError,
    DockwrightError,
    ResourceError,
)
from dockwright.model import Json, Ownership
from dockwright.paths import project_hash, state_directory
from dockwright.pool import RetainedStacks
from dockwright.pool.journal import LABELLED, Kind, ResourceJournal, TrackedResource
from dockwright.pool.reaper import (
    ExistingResources,
    dispose,
    inspect,
    labelled,
    present,
    reap_journals,
)
from dockwright.stack import COMPOSE_PROJECT, Identity
from dockwright.stack.native import label_environment

_BEAT_S = 5.0
"""How often a living owner shows that it lives. What is created later than a minute after the last
sign of life does not count as the dead owner's; see `dockwright.pool.reaper`."""


class ResourceOwner:
    """What one tracker or directory owns. Nothing is written before the first resource is recorded.

    Args:
        whose: the owner's name in messages and in ``dockwright clean``.
        root: of the project that they belong to.
    """

    def __init__(self, whose: str, root: Path | None = None) -> None:
        self.whose = whose
        self.pid = os.getpid()
        self.ownership = Ownership(
            session=f"dw-test-{secrets.token_hex(4)}",
            project=project_hash(root or Path.cwd()),
            stack=whose,
            owner=current_owner(),
            created=time.time(),
            version=__version__,
        )
        self._state = state_directory()
        self._labelled = False
        self._journal: ResourceJournal | None = None
        self._ended = threading.Event()

    @property
    def name(self) -> str:
        """Its name in listings, and the prefix of unique names."""
        return self.ownership.session

    def directory(self, base: Path | None = None) -> Path:
        """Make an empty directory, mode 0700, below `base` or in the user's state directory.

        Raises:
            ResourceError: it cannot be made there.
        """
        path = (base.absolute() / self.name) if base else self._own() / "directory"
        self.record(TrackedResource("directory", str(path), ours=True))
        try:
            path.mkdir(mode=0o700)
        except OSError as exc:
            self.dispose(None)
            raise ResourceError(
                f"{self.whose}: cannot make a directory in {path.parent}: {exc.strerror}",
                hint="choose another place with base=",
            ) from exc
        return path

    def expect_labelled(self) -> None:
        """Also remove what has this owner's labels without being recorded."""
        self._opened()
        self._labelled = True

    def use(self, engine: Engine) -> None:
        """Remove what dead tests left on an engine that this one will use."""
        _reap_once(os.getpid(), self._state, self.ownership.project, engine)

    def record(self, resource: TrackedResource) -> None:
        """Record what is about to be created.

        Raises:
            AlreadyTrackedError: a living process tracks the same thing.
        """
        if resource.ours or resource.kind == "process":
            self._opened().add(resource)
            return
        with self._claiming():
            self._check_free(resource)
            self._opened().add(resource)
        self._show_life()

    def is_recorded(self, kind: str, name: str) -> bool:
        """Return whether a thing is recorded already."""
        resources = self._journal.resources() if self._journal else []
        return any((each.kind, each.name) == (kind, name) for each in resources)

    def dispose(self, engine: Engine | None) -> list[CleanupError]:
        """Remove everything; return what could not be removed, which the reaper will retry.

        In a forked child nothing happens: what its parent created is not its own.
        """
        if self._journal is None or self.pid != os.getpid():
            return []
        failures = dispose(self._present(self._journal, engine), engine)
        self._ended.set()
        if not failures:
            self._journal.remove()
            self._journal = None
        return failures

    def keep(self, engine: Engine | None) -> str:
        """Leave everything as it is; return what was kept, and how to remove it."""
        if self._journal is None or self.pid != os.getpid():
            return ""
        self._ended.set()
        RetainedStacks(self._state / "kept").add(self.name)
        lines = [f"  {each}" for each in self._present(self._journal, engine).described()]
        self._journal = None
        return "\n".join([f"kept {self.whose}:", *lines, "  remove: dockwright clean --kept"])

    def _present(self, journal: ResourceJournal, engine: Engine | None) -> ExistingResources:
        return present(journal, engine, labelled=self._labelled)

    def _own(self) -> Path:
        return self._opened().workspace.directory

    def _opened(self) -> ResourceJournal:
        if self._journal is None:
            _reap_once(os.getpid(), self._state, self.ownership.project)
            self._journal = ResourceJournal.create(self._state, self.ownership)
        return self._journal

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """Keep other processes of this user from checking and recording at the same time."""
        with locked(self._state / "journals.lock", create=True):
            yield

    def _check_free(self, resource: TrackedResource) -> None:
        for journal in ResourceJournal.all(self._state):
            owner = journal.ownership.owner
            if owner is None or journal.name == self.name or not owner_is_alive(owner):
                continue
            if any(_same(resource, each) for each in journal.resources()):
                raise AlreadyTrackedError(
                    f"{self.whose}: {resource.kind} {resource.name} is already tracked by "
                    f"{journal.ownership.stack} (process {owner.pid})",
                    hint="tests that run at once need names of their own: "
                    "take one from the tracker's name(...)",
                )

    def _show_life(self) -> None:
        """Show periodically that this process lives: what is made after its death is not its."""
        if any(each.name == self.name for each in threading.enumerate()):
            return
        threading.Thread(target=self._beat, name=self.name, daemon=True).start()

    def _beat(self) -> None:
        # A pause, not a wait for something: it ends early when the holding ends.
        while not self._ended.wait(_BEAT_S):
            if self._journal is not None:
                self._journal.beat()


def _same(one: TrackedResource, other: TrackedResource) -> bool:
    return (one.kind, one.name, one.engine) == (other.kind, other.name, other.engine)


@cache  # once for each process, project and engine: what died before it began does not change
def _reap_once(pid: int, state: Path, project: str, engine: Engine | None = None) -> None:
    del pid
    reap_journals(project, RetainedStacks(state / "kept"), engine)


def raise_or_note(whose: str, failures: Sequence[Exception], error: BaseException | None) -> None:
    """Raise the failures of a clean-up, or add them to the error that is on its way already.

    Args:
        whose: what was cleaned up, for the message.
        failures: what went wrong.
        error: what ended the block, if anything.

    Raises:
        ExceptionGroup: of all failures, where nothing else is on its way.
    """
    if not failures:
        return
    message = f"{whose}: not everything could be removed"
    if error is None:
        raise ExceptionGroup(message, failures)
    error.add_note("\n".join([message, *(f"  {_told(each)}" for each in failures)]))


def _told(failure: Exception) -> str:
    return str(failure) if isinstance(failure, DockwrightError) else repr(failure)


ProcessLike: TypeAlias = "int | subprocess.Popen[Any] | psutil.Process"

_NAME_LIMIT = 30
_MARKED = "marked"


class ArtifactTracker:
    """Removes at its end what was created in its block, and nothing that existed before.

    Call a ``track_...`` method *before* you make the thing: whatever exists then is somebody
    else's and stays. ``create_...`` and `start_process` do both. At the end go processes,
    containers, networks, volumes, images, files and directories (the deepest first), each although
    another could not be removed. If the process is killed, the next run of the project removes
    them, or ``dockwright clean``.

    Args:
        engine: returns the engine that containers, networks, volumes and images are on; it is
            called when the first of them is tracked. Default: the docker command's.
        keep_on_failure: whether everything stays if the block ends with an error, until
            ``dockwright clean --kept``.
        root: the project that the artifacts belong to; default: the current directory.
        whose: who makes them, for messages.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Engine] = connect,
        keep_on_failure: bool = False,
        root: Path | None = None,
        whose: str = "artifacts",
    ) -> None:
        self._connect = engine
        self._engine: Engine | None = None
        self._keep = False
        self._kept = ""
        self._keep_on_failure = keep_on_failure
        self._holding = ResourceOwner(whose, root)
        # Not start times: psutil's are up to a second away from the clock's.
        self._older = frozenset(psutil.pids())
        self._numbers = itertools.count(1)
        self._children: list[subprocess.Popen[Any]] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(error)

    def close(self, *, failed: bool = False) -> None:
        """Remove everything; what a ``with`` block does at its end. Idempotent.

        Args:
            failed: whether it ends because something failed; see `keep_on_failure`.

        Raises:
            ExceptionGroup: of a `CleanupError` for each thing that could not be removed.
        """
        self._end(None, failed=failed)

    def keep(self) -> None:
        """Remove nothing at the end; ``dockwright clean --kept`` removes it later."""
        self._keep = True

    @property
    def kept(self) -> str:
        """What was kept at the end and how to remove it, or an empty text."""
        return self._kept

    @property
    def labels(self) -> dict[str, str]:
        """Labels for containers, networks and volumes that you create yourself.

        Everything with these labels is removed at the end, even if you do not track its name.
        """
        self._check_open()
        self._on()
        self._holding.expect_labelled()
        return self._identity.labels()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the environment of processes that you start yourself.

        Processes with these variables are killed at the end, with their children.
        """
        self._check_open()
        if not self._holding.is_recorded("process", _MARKED):
            self._holding.record(TrackedResource("process", _MARKED, ours=True))
        return label_environment(self._identity, "artifact")

    def name(self, stem: str = "artifact") -> str:
        """Return a unique name that begins with `stem`, for something that you create."""
        short = re.sub(r"[^a-z0-9_.-]", "-", stem.lower())[:_NAME_LIMIT].strip("-_.") or "artifact"
        token = self._holding.name.rpartition("-")[2]
        return f"{short}-{token}-{next(self._numbers)}"

    def track_file(self, path: str | os.PathLike[str]) -> Path:
        """Remove a file at the end, unless it exists already; return its absolute path."""
        return self._track_path("file", path)

    def track_directory(self, path: str | os.PathLike[str]) -> Path:
        """Remove a directory and its content at the end, unless it exists; return its path."""
        return self._track_path("directory", path)

    def track_container(self, name: str | None = None) -> str:
        """Remove a container at the end, unless one of this name exists now; return the name.

        Args:
            name: its name; None: a new, unique one.
        """
        return self._track_on_engine("container", name)

    def track_network(self, name: str | None = None) -> str:
        """Remove a network at the end, as `track_container` does with a container."""
        return self._track_on_engine("network", name)

    def track_volume(self, name: str | None = None) -> str:
        """Remove a volume at the end, as `track_container` does with a container."""
        return self._track_on_engine("volume", name)

    def track_image(self, reference: str | None = None) -> str:
        """Remove an image's name at the end, and the image with its last name, unless it exists."""
        return self._track_on_engine("image", reference)

    def track_project(self, name: str) -> str:
        """Remove everything of a Compose project at the end, except what it has now.

        Call it before the project is started: its containers, networks, volumes and the images
        that are built for it are removed at the end.

        Args:
            name: the project's name; see also `name`.

        Returns:
            The name.
        """
        if not name:
            raise ValueError("the name of a project must not be empty")
        self.track_labelled(f"{COMPOSE_PROJECT}={name}")
        return name

    def track_labelled(self, label: str) -> None:
        """Remove all containers, networks, volumes and images with a label at the end.

        What has the label already stays.

        Args:
            label: ``key=value``, or ``key`` for any value.
        """
        self._check_open()
        if not label.partition("=")[0]:
            raise ValueError("a label must have a key: 'key=value'")
        if not self._holding.is_recorded(LABELLED, label):
            engine = self._on()
            before = [name for names in labelled(engine, label).values() for name in names]
            self._holding.record(
                TrackedResource(LABELLED, label, engine.endpoint.url, before=tuple(before))
            )

    def track_process(self, process: ProcessLike) -> int:
        """Kill a process and its children at the end, unless it is older than this tracker.

        Args:
            process: a pid, a `subprocess.Popen` or a `psutil.Process`; one that has ended is fine.

        Returns:
            Its pid.
        """
        self._check_open()
        pid = process if isinstance(process, int) else process.pid
        if isinstance(process, subprocess.Popen):
            self._children.append(process)
        if pid not in self._older:
            with suppress(psutil.NoSuchProcess):
                started_s = psutil.Process(pid).create_time()
                self._holding.record(TrackedResource("process", str(pid), started_s=started_s))
        return pid

    def create_container(
        self, image: str, *command: str, name: str | None = None, **config: Json
    ) -> str:
        """Create a container with our labels and start it; return its id.

        Args:
            image: a reference to an image that the engine has.
            command: what it runs; none: what the image says.
            name: its name; None: a new one.
            config: further fields of the Engine API's *ContainerCreate*, e.g. ``Env=["A=1"]``.

        Raises:
            ConflictError: a container of this name exists.
        """
        chosen = self.track_container(name)
        given = config.pop("Labels", None)
        labels = {**(given if isinstance(given, Mapping) else {}), **self.labels}
        body: dict[str, Json] = {"Image": image, **config, "Labels": labels}
        if command:
            body["Cmd"] = list(command)
        container = self._on().create_container(chosen, body)
        self._on().start_container(container)
        return container

    def create_network(self, name: str | None = None) -> str:
        """Create a network with our labels; return its name."""
        chosen = self.track_network(name)
        self._on().create_network(chosen, {"Labels": self.labels})
        return chosen

    def create_volume(self, name: str | None = None) -> str:
        """Create a volume with our labels; return its name.

        Raises:
            ConflictError: a volume of this name exists.
        """
        chosen = self.track_volume(name)
        if not self._holding.is_recorded("volume", chosen):  # the engine would just hand it out
            raise ConflictError(
                f"{self._holding.whose}: volume {chosen} exists already",
                hint="without a name, create_volume() chooses a new one",
            )
        self._on().create_volume(chosen, {"Labels": self.labels})
        return chosen

    def start_process(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a process that is killed at the end, with its children.

        Args:
            command: the argument list.
            env: its environment; None: this process's.
            options: what else `subprocess.Popen` takes.
        """
        marked = {**(os.environ if env is None else env), **self.environment}
        child = subprocess.Popen(list(command), env=marked, **options)
        self.track_process(child)
        return child

    @property
    def _identity(self) -> Identity:
        return Identity(self._holding.name, self._holding.ownership)

    def _on(self) -> Engine:
        if self._engine is None:
            self._engine = self._connect()
            self._holding.use(self._engine)
        return self._engine

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self._holding.whose}: tracked after the tracker's end")

    def _track_path(self, kind: Kind, path: str | os.PathLike[str]) -> Path:
        self._check_open()
        if not os.fspath(path):
            raise ValueError("a path must not be empty")
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the link
        if not self._holding.is_recorded(kind, str(absolute)) and not os.path.lexists(absolute):
            self._holding.record(TrackedResource(kind, str(absolute)))
        return absolute

    def _track_on_engine(self, kind: Kind, name: str | None) -> str:
        self._check_open()
        if name == "":
            raise ValueError(f"the name of a {kind} must not be empty")
        chosen = name or self.name(kind)
        if self._holding.is_recorded(kind, chosen):
            return chosen
        if name is None or inspect(self._on(), kind, chosen) is None:
            url = self._on().endpoint.url
            self._holding.record(TrackedResource(kind, chosen, url, ours=name is None))
        return chosen

    def _end(self, error: BaseException | None, *, failed: bool = False) -> None:
        if self._closed:
            return
        self._closed = True
        if self._keep or (self._keep_on_failure and (failed or error is not None)):
            self._kept = self._holding.keep(self._engine)
            if error is not None and self._kept:
                error.add_note(self._kept)
            return
        failures = self._holding.dispose(self._engine)
        for child in self._children:
            child.poll()  # it was reaped by whoever killed it; else its end would be a warning
        raise_or_note(self._holding.whose, failures, error)


class TestArtifactTracker(ArtifactTracker):
    """An `ArtifactTracker` for one test; what the ``artifacts`` fixture gives.

    Args:
        test: the test's name, e.g. its node id: in messages and in ``dockwright clean``.
        failed: returns, when the tracker ends, whether the test has failed.
        engine: as in `ArtifactTracker`.
        keep_on_failure: whether everything stays if the test failed.
        root: as in `ArtifactTracker`.
    """

    __test__: ClassVar[bool] = False  # its name is for people; pytest is not to collect it

    def __init__(
        self,
        test: str,
        *,
        failed: Callable[[], bool] = lambda: False,
        engine: Callable[[], Engine] = connect,
        keep_on_failure: bool = False,
        root: Path | None = None,
    ) -> None:
        super().__init__(
            engine=engine,
            keep_on_failure=keep_on_failure,
            root=root,
            whose=f"artifacts of {test}",
        )
        self.test = test
        self._failed = failed

    @property
    def failed(self) -> bool:
        """Whether the test has failed until now."""
        return self._failed()

    def _end(self, error: BaseException | None, *, failed: bool = False) -> None:
        super()._end(error, failed=failed or self.failed)
