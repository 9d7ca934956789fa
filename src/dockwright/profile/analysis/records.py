"""Reads what the probe wrote: one file a process, whose last record may be cut off."""

from __future__ import annotations

import logging
import marshal
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_log = logging.getLogger(__name__)

_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError)
"""What reading something else than the probe's records raises."""

PACKAGES = "-packages"
"""What is in the path of whatever is installed: site-packages, dist-packages."""


class Frame(NamedTuple):
    """One caller.

    Attributes:
        file: its path.
        line: counted from 1.
        function: its name.
        identity: the same number: the same call, while it lasts.
        own: whether it is the suite's or the application's, not a library's.
    """

    file: str
    line: int
    function: str
    identity: int = 0
    own: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time in one thread.

    Attributes:
        kind: as the probe calls it: ``sleep``, ``wait``, ``engine``, ``test``, ``fixture``...
        begin: seconds, by the machine's monotonic clock.
        end: the same.
        thread: which thread of its process.
        frames: who called, from inside out.
        detail: more about it.
    """

    kind: str
    begin: float
    end: float
    thread: int = 0
    frames: tuple[Frame, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Process:
    """One Python process of the run.

    Attributes:
        pid: its id.
        parent: its parent's id.
        argv: its command line.
        in_test: whether a test of another process started it.
        begin: when the probe was loaded.
        end: when it ended, or wrote its last record.
        spans: what it noted, without those that only mark a moment.
        session: what kind of pytest process it is; empty: none.
        thread: the thread whose time counts: pytest's, else the first.
    """

    pid: int
    parent: int
    argv: tuple[str, ...]
    in_test: bool
    begin: float
    end: float
    spans: tuple[Span, ...]
    session: Mapping[str, Any]
    thread: int

    @property
    def runs_tests(self) -> bool:
        """Whether pytest runs tests here, and not only hands them to others."""
        return bool(self.session) and not self.session["controller"]


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended.

    Attributes:
        command: its words.
        exit_code: its own; 128 + N where signal N ended it, as a shell says it.
        began_s: when it was started, by the monotonic clock.
        ended_s: when it ended, by the monotonic clock.
        interrupted: whether Ctrl-C was seen meanwhile.
    """

    command: tuple[str, ...]
    exit_code: int
    began_s: float
    ended_s: float
    interrupted: bool


def read_processes(directory: Path) -> list[Process]:
    """Return all processes that left records, in the order in which they began."""
    found = [_read_process(path) for path in sorted(directory.iterdir())]
    return sorted((each for each in found if each), key=lambda process: process.begin)


def _read_process(path: Path) -> Process | None:
    """Return the process of a file; None where it left too little, or the file is damaged."""
    try:
        return _process(list(_records(path)))
    except (OSError, *_DAMAGE) as failure:
        _log.warning("ignoring the damaged records in %s: %s", path, failure)
        return None


def _records(path: Path) -> Iterator[Span]:
    with path.open("rb") as file:
        while True:
            try:
                # S302: our own probe wrote it, to a directory that nobody else may write to.
                kind, begin, end, thread, frames, detail = marshal.load(file)  # noqa: S302
                span = Span(kind, begin, end, thread, tuple(map(_frame, frames)), {**detail})
            except (EOFError, *_DAMAGE):
                return  # the end, or a record that was cut off
            if not _is_time(begin, end):
                return
            yield span


def _frame(parts: Sequence[Any]) -> Frame:
    return Frame(*parts)


def _is_time(*moments: object) -> bool:
    return all(isinstance(each, int | float) for each in moments)


def _process(records: Sequence[Span]) -> Process | None:
    if not records or records[0].kind != "process":
        return None
    head = records[0]
    session = next((each for each in records if each.kind == "session"), None)
    end = max(each.end for each in records)
    moments = ("process", "exit", "session", "begins")
    return Process(
        pid=head.detail["pid"],
        parent=head.detail["ppid"],
        argv=tuple(head.detail["argv"]),
        in_test=bool(head.detail["in_test"]),
        begin=head.begin,
        end=end,
        spans=(*(each for each in records if each.kind not in moments), *_cut_off(records, end)),
        session=session.detail if session else {},
        thread=session.thread if session else head.thread,
    )


def _cut_off(records: Iterable[Span], end: float) -> Iterator[Span]:
    """Yield the test that was running when the process was killed."""
    begun: Span | None = None
    for each in records:
        if each.kind == "begins":
            begun = each
        elif each.kind == "test":
            begun = None
    if begun is not None:
        yield Span("test", begun.begin, end, begun.thread, (), begun.detail)


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One event, at a time of the machine's monotonic clock.

    Attributes:
        kind: ``container``, ``image``, ``network`` or ``volume``.
        action: ``start``, ``kill``, ``die``, ``health_status``...
        id: of the object.
        at_s: when, in seconds.
        name: of the object.
        detail: a kill's signal, a health status.
        project: the Compose project of a container.
    """

    kind: str
    action: str
    id: str
    at_s: float
    name: str = ""
    detail: str = ""
    project: str = ""

    def is_of(self, project: str) -> bool:
        """Return whether the object belongs to a Compose project, by its label or name."""
        return self.project == project or self.name.startswith((f"{project}_", f"{project}-"))


@dataclass(frozen=True, slots=True)
class Container:
    """What a container is called, and what it is one of."""

    id: str
    name: str = ""
    image: str = ""
    project: str = ""
    service: str = ""
    working_dir: str = ""

    @property
    def title(self) -> str:
        """How a person calls it: copies of one service have one title."""
        if self.service:
            return f"service {self.service} ({self.image})"
        return f"a container of {self.image}" if self.image else f"container {self.id[:12]}"

    def is_named(self, ref: str) -> bool:
        """Return whether a command means it by this name or prefix of its id."""
        return bool(ref) and (ref == self.name or (len(ref) >= 3 and self.id.startswith(ref)))


@dataclass(frozen=True, slots=True)
class Probe:
    """One run of a health check."""

    begin: float
    end: float
    good: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """Time that the engine let pass.

    Attributes:
        cause: ``grace`` or ``health``.
        container: whose.
        begin: from when, by the monotonic clock.
        end: until when.
        certain: whether the events prove it.
    """

    cause: str
    container: Container
    begin: float
    end: float
    certain: bool

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """All that was seen of an engine.

    Attributes:
        happenings: its events, by time.
        containers: the configurations of those that started.
        probes: of each container, the last probes before each time it became healthy.
        complete: whether no event was lost.
    """

    happenings: tuple[EngineEvent, ...] = ()
    containers: Mapping[str, Container] = field(default_factory=dict)
    probes: Mapping[str, tuple[tuple[Probe, ...], ...]] = field(default_factory=dict)
    complete: bool = True

    def container(self, happening: EngineEvent) -> Container:
        """Return the container that something happened to."""
        known = self.containers.get(happening.id)
        return known or Container(happening.id, happening.name)

    def losses(self) -> Iterator[Loss]:
        """Yield every grace and health interval that was waited out."""
        begun: dict[str, EngineEvent] = {}
        asked: dict[str, EngineEvent] = {}
        for each in self.happenings:
            if each.kind != "container":
                continue
            if each.action == "start":
                begun[each.id] = each
            elif each.action == "die":
                asked.pop(each.id, None)
            elif each.action == "kill":
                yield from self._grace(asked, each)
            elif each.action == "health_status" and each.detail == "healthy" and each.id in begun:
                yield from self._interval(begun.pop(each.id), each)

    def _grace(self, asked: dict[str, EngineEvent], kill: EngineEvent) -> Iterator[Loss]:
        """A stop asks first, and kills when the grace is over."""
        if kill.detail not in ("9", "SIGKILL"):
            asked.setdefault(kill.id, kill)
        elif kill.id in asked:
            first = asked.pop(kill.id)
            yield Loss("grace", self.container(kill), first.at_s, kill.at_s, certain=True)

    def _interval(self, start: EngineEvent, healthy: EngineEvent) -> Iterator[Loss]:
        """Between two health checks it became ready: somewhere in the last interval.

        The first probe comes one interval after the start. Where it succeeded, a probe at the
        start might have done so as well, and all of the interval may have been lost; where
        others had failed before, half of the last interval was, on average.
        """
        container = self.container(start)
        log = next(
            (
                probes
                for probes in self.probes.get(start.id, ())
                if probes and start.at_s < probes[-1].end <= healthy.at_s + 1.0
            ),
            (),
        )
        good = next((probe for probe in log if probe.good and probe.begin > start.at_s), None)
        if good is None:
            return
        failed = [probe for probe in log if not probe.good and start.at_s < probe.end < good.begin]
        begin = (failed[-1].end + good.begin) / 2 if failed else start.at_s
        yield Loss("health", container, begin, good.begin, certain=False)


SLACK_S = 0.02
"""How far an event may lie outside the call that it belongs to: two clocks are compared."""


class EventIndex:
    """The events of some actions, found by their time."""

    def __init__(self, facts: EngineFacts | None, actions: Collection[str]) -> None:
        happenings = facts.happenings if facts else ()
        self._events = [each for each in happenings if each.action in actions]
        self.complete = facts is not None and facts.complete

    def between(self, begin: float, end: float) -> list[EngineEvent]:
        """Return those from `begin` to `end`."""
        first = bisect_left(self._events, begin, key=lambda each: each.at_s)
        last = bisect_right(self._events, end, key=lambda each: each.at_s)
        return self._events[first:last]
