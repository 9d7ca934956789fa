"""Waiting for a line in a log."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from dockwright.engine import LogLine, parse_time
from dockwright.errors import ConflictError, NoSuchObjectError
from dockwright.wait.loop import Continue, Outcome, Ready, Wait
from dockwright.wait.state import container_state
from dockwright.wait.strategy import Check
from dockwright.wait.watchers import wake_on_change
from dockwright.wait.worker import Worker

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
        """Note that the writer has exited: yield what is left, then end."""

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
        except ConflictError:  # it is just being started or removed: the next check shows
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
                self._changed.wait(_RETRY_S)  # until inotify reports; some file systems never do
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
        """Note that the writer has exited: yield what is left, then end."""
        self._finished = True
        self._changed.set()

    def close(self) -> None:
        """End at once."""
        self._closed = True
        self._changed.set()


def _line(data: bytes) -> LogLine:
    return LogLine("stdout", data.decode(errors="replace").removesuffix("\r"))


@dataclass(frozen=True, slots=True)
class Log:
    """Lines of the log match a pattern; those since the last start count.

    Args:
        pattern: a regular expression, searched in each line.
        times: how many lines have to match.
        stream: only lines of this stream; None: both.
    """

    pattern: str
    times: int = 1
    stream: Literal["stdout", "stderr"] | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is not a regular expression: {error}") from error
        if self.times < 1:
            raise ValueError(f"the number of lines to wait for is 1 or more, not {self.times}")
        if self.stream not in {None, "stdout", "stderr"}:
            raise ValueError(f"a stream is stdout or stderr, not {self.stream!r}")

    @property
    def survives_exit(self) -> bool:
        """The line may be the last before the exit, and be read after it."""
        return True

    def __str__(self) -> str:
        times = "" if self.times == 1 else f" {self.times} times"
        return f"to log {self.pattern!r}{times}"

    def begin(self, wait: Wait) -> Check:
        """Start to follow the log."""
        state_of = wait.target.begin_state(wait)
        follower = wait.target.log().follow()
        wait.closing.callback(follower.close)
        search = _Search(self, follower)
        worker = Worker(wait, "log", search.run)

        def check() -> Outcome:
            worker.raise_failure()
            ended = worker.ended  # before looking: all that was read by then is seen
            if search.found is not None:
                return Ready(search.found)
            if (state := state_of()).has_exited:
                follower.finish()
                if ended:
                    return wait.target.failure(state)
            return Continue(search.describe())

        return check


class _Search:
    """Counts the matching lines of one follower; keeps only the last line."""

    def __init__(self, strategy: Log, follower: LogFollower) -> None:
        self._strategy = strategy
        self._follower = follower
        self._matches = 0
        self._last: str | None = None
        self.found: str | None = None

    def run(self, worker: Worker) -> None:
        """Read until enough lines matched or no more can come."""
        pattern = re.compile(self._strategy.pattern)
        for line in self._follower:
            if worker.closed.is_set():
                return
            if self._strategy.stream not in {None, line.stream}:
                continue
            self._last = line.text
            if pattern.search(line.text):
                self._matches += 1
            if self._matches == self._strategy.times:
                self.found = line.text
                return

    def describe(self) -> str:
        """Say what was read so far."""
        if self._last is None:
            return "it has logged nothing yet"
        found = f"{self._matches} of {self._strategy.times} lines" if self._matches else "no line"
        return f"{found} matched, the last is {self._last[:200]!r}"
