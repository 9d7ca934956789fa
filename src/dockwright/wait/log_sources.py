"""Where a target's output is read: a container's log on the engine, a process's log file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dockwright.engine import LogLine, parse_time
from dockwright.errors import ConflictError, NoSuchObjectError
from dockwright.wait.file_watch import wake_on_change
from dockwright.wait.state import container_state

if TYPE_CHECKING:
    from dockwright.engine import Engine, LogStream
    from dockwright.engine.types import Document

_RETRY_S = 0.1
"""The pause before a log that ended while its container did not is followed again."""

_CHUNK_BYTES = 64 * 1024


class LogFollower(Protocol):
    """Lines as they are written, read in one thread and ended from another."""

    def __iter__(self) -> Iterator[LogLine]:
        """Yield lines; wait for more; end when no more can come."""

    def finish(self) -> None:
        """Tell that the writer has exited: yield what is left, then end."""

    def close(self) -> None:
        """End at once."""


class LogSource(Protocol):
    """A log that can be followed and whose end can be shown."""

    def tail(self, count: int) -> list[str]:
        """Return the last `count` lines."""

    def follow(self) -> LogFollower:
        """Return the lines of the writer's present run, from its first."""


class ContainerLog:
    """What a container wrote, as its engine keeps it."""

    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine = engine
        self._container_id = container_id

    def tail(self, count: int) -> list[str]:
        """Return the last `count` lines."""
        with self._engine.logs(self._container_id, tail=count) as stream:
            return [line.text for line in stream]

    def follow(self) -> LogFollower:
        """Return the lines since the container was last started."""
        return _ContainerFollower(self._engine, self._container_id)


class _ContainerFollower:
    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine = engine
        self._container_id = container_id
        self._closed = threading.Event()
        self._stream: LogStream | None = None

    def __iter__(self) -> Iterator[LogLine]:
        with contextlib.suppress(NoSuchObjectError):  # removed meanwhile: no more lines
            yield from self._runs()

    def _runs(self) -> Iterator[LogLine]:
        since = _run_began(self._engine.inspect_container(self._container_id)["State"])
        exited = False
        while not self._closed.is_set():
            for line in self._lines(since, follow=not exited):
                since = (line.time_s or 0.0) + 1e-6  # the engine repeats those at `since` itself
                yield line
            if exited:
                return
            # Once more after the exit: an engine may end the following before the last lines.
            document = self._engine.inspect_container(self._container_id)
            exited = container_state(document).has_exited
            if not exited:
                self._closed.wait(_RETRY_S)  # not started yet, or being restarted

    def _lines(self, since: float | None, *, follow: bool) -> Iterator[LogLine]:
        try:
            stream = self._engine.logs(
                self._container_id, follow=follow, since=since, timestamps=True
            )
        except ConflictError:  # it is just being started or removed: the next look tells
            return
        with stream:
            self._stream = stream
            if not self._closed.is_set():
                yield from stream

    def finish(self) -> None:
        """Nothing to do: the engine ends the log with the container."""

    def close(self) -> None:
        """End at once."""
        self._closed.set()
        if self._stream is not None:
            self._stream.close()


def _run_began(state: Document) -> float | None:
    """Return a time after the last lines of the run before; None where there was none.

    The engine's notes are not exact: `StartedAt` is later than the first lines, and later than
    `FinishedAt` where a run was very short; the last lines may be younger than `FinishedAt`.
    """
    started, finished = parse_time(state["StartedAt"]), parse_time(state["FinishedAt"])
    if started is None or finished is None:
        return None
    # Of a container that runs, `FinishedAt` is the end of the run before.
    return finished + 0.02 if state["Running"] else min(started, finished) - 1.0


class FileLog:
    """A file that a process writes its output to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tail(self, count: int) -> list[str]:
        """Return the last `count` lines, of at most 64 KiB."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _CHUNK_BYTES))
                return file.read().decode(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []

    def follow(self) -> LogFollower:
        """Return the file's lines from its beginning."""
        return _FileFollower(self._path)


class _FileFollower:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Event()
        self._finished = False
        self._closed = False

    def __iter__(self) -> Iterator[LogLine]:
        stop_watching = wake_on_change(self._path, self._changed.set)
        try:
            yield from self._lines()
        finally:
            stop_watching()

    def _lines(self) -> Iterator[LogLine]:
        position, rest = 0, b""
        while not self._closed:
            self._changed.clear()
            finished = self._finished  # before reading: all that was written by then is read
            data = self._read(position)
            position += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield _line(line)
            if len(rest) >= _CHUNK_BYTES:  # a line without end must not grow in memory
                yield _line(rest)
                rest = b""
            if not data:
                if finished:
                    break
                self._changed.wait(_RETRY_S)  # until inotify tells; some file systems never do
        if rest:
            yield _line(rest)

    def _read(self, position: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(position)
                return file.read(_CHUNK_BYTES)
        except FileNotFoundError:  # not written to yet
            return b""

    def finish(self) -> None:
        """Tell that the writer has exited: yield what is left, then end."""
        self._finished = True
        self._changed.set()

    def close(self) -> None:
        """End at once."""
        self._closed = True
        self._changed.set()


def _line(data: bytes) -> LogLine:
    return LogLine("stdout", data.decode(errors="replace").removesuffix("\r"))
