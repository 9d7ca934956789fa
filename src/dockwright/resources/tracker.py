"""Tracks what a test makes by itself, from before it is made, and removes it in the right order."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import psutil

from dockwright.engine import Engine, connect
from dockwright.errors import ConflictError
from dockwright.model import Json
from dockwright.pool.journal import Kind, Trace
from dockwright.pool.reaper import inspect
from dockwright.resources.ending import raise_or_note
from dockwright.resources.holding import Holding
from dockwright.stack import Identity
from dockwright.stack.native import label_environment

ProcessLike: TypeAlias = "int | subprocess.Popen[Any] | psutil.Process"

_NAME_LIMIT = 30
_MARKED = "marked"


class ArtifactTracker:
    """Removes at its end what was made in its block, and nothing that was there before.

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
        self._holding = Holding(whose, root)
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
        """Leave everything as it is at the end, until ``dockwright clean --kept``."""
        self._keep = True

    @property
    def kept(self) -> str:
        """What was kept at the end and how to remove it, or an empty text."""
        return self._kept

    @property
    def labels(self) -> dict[str, str]:
        """Labels for containers, networks and volumes that you create by calls of your own.

        They say whose a thing is: what bears them goes at the end, tracked by its name or not.
        """
        self._check_open()
        self._on()
        self._holding.expect_labelled()
        return self._identity.labels()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the environment of processes that you start by calls of your own.

        What bears them goes at the end, and so do its children.
        """
        self._check_open()
        if not self._holding.tells_of("process", _MARKED):
            self._holding.tell(Trace("process", _MARKED, ours=True))
        return label_environment(self._identity, "artifact")

    def name(self, stem: str = "artifact") -> str:
        """Return a name that nothing else has, to create something with; it begins with `stem`."""
        short = re.sub(r"[^a-z0-9_.-]", "-", stem.lower())[:_NAME_LIMIT].strip("-_.") or "artifact"
        token = self._holding.name.rpartition("-")[2]
        return f"{short}-{token}-{next(self._numbers)}"

    def track_file(self, path: str | os.PathLike[str]) -> Path:
        """Have a file removed, unless it exists already; return its absolute path."""
        return self._track_path("file", path)

    def track_directory(self, path: str | os.PathLike[str]) -> Path:
        """Have a directory removed with all in it, unless it exists already; return its path."""
        return self._track_path("directory", path)

    def track_container(self, name: str | None = None) -> str:
        """Have a container removed, unless one of this name exists; return the name.

        Args:
            name: that it will get; None: a new one that nothing else has.
        """
        return self._track_on_engine("container", name)

    def track_network(self, name: str | None = None) -> str:
        """Do for a network what `track_container` does for a container."""
        return self._track_on_engine("network", name)

    def track_volume(self, name: str | None = None) -> str:
        """Do for a volume what `track_container` does for a container."""
        return self._track_on_engine("volume", name)

    def track_image(self, reference: str | None = None) -> str:
        """Have an image's name removed, and the image with its last one, unless it exists."""
        return self._track_on_engine("image", reference)

    def track_process(self, process: ProcessLike) -> int:
        """Have a process killed with its children, unless it is older than this tracker.

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
                self._holding.tell(Trace("process", str(pid), started_s=started_s))
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
        if not self._holding.tells_of("volume", chosen):  # the engine would just hand it out
            raise ConflictError(
                f"{self._holding.whose}: volume {chosen} exists already",
                hint="without a name, create_volume() chooses a new one",
            )
        self._on().create_volume(chosen, {"Labels": self.labels})
        return chosen

    def start_process(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a process that bears our marks, and so do its children.

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
        if not self._holding.tells_of(kind, str(absolute)) and not os.path.lexists(absolute):
            self._holding.tell(Trace(kind, str(absolute)))
        return absolute

    def _track_on_engine(self, kind: Kind, name: str | None) -> str:
        self._check_open()
        if name == "":
            raise ValueError(f"the name of a {kind} must not be empty")
        chosen = name or self.name(kind)
        if self._holding.tells_of(kind, chosen):
            return chosen
        if name is None or inspect(self._on(), kind, chosen) is None:
            url = self._on().endpoint.url
            self._holding.tell(Trace(kind, chosen, url, ours=name is None))
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
