"""What one pytest process records of its tests, until the main process makes the run's record.

Light: every pytest process that records imports it, and a span costs a few microseconds.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from dockwright.recording.record import Lane, Outcome


@dataclass(slots=True)
class Attempt:
    """One attempt at a test; times on the monotonic clock, which all processes here share.

    Attributes:
        nodeid: pytest's name for the test.
        worker: the process that runs it.
        stages: begin and end of ``setup``, ``call`` and ``teardown``, as far as they took place.
        raw_spans: what its process recorded meanwhile (see `SpanRecorder`).
        outcome: how it ended so far.
        lane: how it uses a stack.
        stack: the project of the copy that it leased, or an empty string.
        uses: the fixtures of a wider scope that it uses.
        message: the first line of its failure.
        audited: whether it was looked at by itself.
        traces: what it left: the fields of each `Trace`.
        logs: what its services logged about errors before it failed.
    """

    nodeid: str
    worker: str
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    raw_spans: list[RawSpan] = field(default_factory=list)
    outcome: Outcome = "passed"
    lane: Lane = "none"
    stack: str = ""
    uses: Sequence[str] = ()
    message: str = ""
    audited: bool = False
    traces: Sequence[Sequence[Any]] = ()
    logs: Sequence[str] = ()

    @property
    def began(self) -> float:
        """When its first stage began."""
        return min(begin for begin, _ in self.stages.values())

    @property
    def ended(self) -> float:
        """When its last stage ended."""
        return max(end for _, end in self.stages.values())

    def note(self, stage: str, report: str, *, xfail: bool = False) -> None:
        """Note how a stage ended.

        Args:
            stage: ``setup``, ``call`` or ``teardown``.
            report: ``passed``, ``failed`` or ``skipped``, as pytest reports it.
            xfail: whether it was expected to fail.
        """
        if report == "failed":
            self.outcome = "failed" if stage == "call" else "error"
        elif report == "skipped":
            self.outcome = "xfailed" if xfail else "skipped"
        elif stage == "call" and xfail:
            self.outcome = "xpassed"

    def to_plain(self) -> list[Any]:
        """Return what xdist can send."""
        stages = [[stage, begin, end] for stage, (begin, end) in self.stages.items()]
        parts = (self.nodeid, self.worker, stages, self.raw_spans, self.outcome, self.lane)
        return [*parts, self.stack, self.uses, self.message, self.audited, self.traces, self.logs]

    @classmethod
    def from_plain(cls, values: Sequence[Any]) -> Attempt:
        """Return the attempt that `to_plain` described."""
        nodeid, worker, stages, *others = values
        return cls(nodeid, worker, {stage: (begin, end) for stage, begin, end in stages}, *others)


def uses_of(attempts: Iterable[Attempt]) -> Mapping[tuple[str, str], int]:
    """Return how many tests used each fixture of a wider scope, by worker and fixture."""
    counts: dict[tuple[str, str], int] = {}
    for attempt in attempts:
        for name in attempt.uses:
            counts[attempt.worker, name] = counts.get((attempt.worker, name), 0) + 1
    return counts


SHORTEST_S = 50e-6
"""Shorter spans are dropped; they count as a test's ``other`` time."""

RawSpan: TypeAlias = list[Any]
"""A span as xdist sends it: phase, name, start (monotonic), seconds, step, shared, project."""


@dataclass(slots=True)
class OpenSpan:
    """A span that has not ended.

    Attributes:
        phase: what kind of thing.
        name: which.
        step: ``setup`` or ``teardown`` of a fixture; else empty.
        shared: whether others have their use of it too.
        project: the stack that it was about, once that is known.
    """

    phase: str
    name: str
    step: str = ""
    shared: bool = False
    project: str = ""


class SpanRecorder:
    """Records what its own thread does, as spans without gaps and overlaps.

    Args:
        clock: returns the time in seconds, comparable between the processes of this machine.

    Attributes:
        recording: whether spans are recorded; False at first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.recording = False
        self._thread = threading.get_ident()
        self._open: list[OpenSpan] = []
        self._since = 0.0
        self._raw_spans: list[RawSpan] = []

    @contextmanager
    def span(self, what: OpenSpan) -> Iterator[OpenSpan]:
        """Note the time inside; what is noted within it is taken out."""
        began = self.begin(what)
        try:
            yield what
        finally:
            if began:
                self.end(what)

    def begin(self, what: OpenSpan) -> bool:
        """Record that something begins; return whether it was recorded."""
        if not self.recording or threading.get_ident() != self._thread:
            return False
        self._cut()
        what.shared = what.shared or bool(self._open and self._open[-1].shared)
        self._open.append(what)
        return True

    def end(self, what: OpenSpan) -> None:
        """Note that it ends, and with it what began within it."""
        if what in self._open:
            self._cut()
            while self._open.pop() is not what:
                pass

    def take(self) -> list[RawSpan]:
        """Return what was noted since the last time; what is under way goes on."""
        self._cut()
        raw_spans, self._raw_spans = self._raw_spans, []
        return raw_spans

    def _cut(self) -> None:
        """End the stretch of what is under way, and begin its next one."""
        now = self.clock()
        seconds = now - self._since
        if self._open and seconds >= SHORTEST_S:
            it = self._open[-1]
            self._raw_spans.append(
                [it.phase, it.name, self._since, seconds, it.step, it.shared, it.project]
            )
        self._since = now


class Recorder:
    """Notes the tests of one process; in the main process, also those of the others.

    Args:
        worker: the name of this process: ``main``, or xdist's id such as ``gw0``.
        began: when pytest was configured here, on the monotonic clock.

    Attributes:
        spans: notes what the process does.
        attempts: the tests that have ended and were not sent yet.
        others: what the processes that ran tests reported at their end.
        collected: when the tests were collected; None: not seen.
    """

    def __init__(self, worker: str, began: float) -> None:
        self.worker = worker
        self.spans = SpanRecorder()
        self.spans.recording = True
        self.attempts: list[Attempt] = []
        self.others: list[Mapping[str, Any]] = []
        self._began = began
        self._recorded = self.spans.clock()
        self.collected: float | None = None
        self._current: Attempt | None = None
        self._wide: set[str] = set()

    def set_up(self, fixture: str, *, wide: bool) -> OpenSpan:
        """Return the span of the setup of a fixture.

        Args:
            fixture: its name.
            wide: whether its scope is wider than one test.
        """
        if wide:
            self._wide.add(fixture)
        return OpenSpan("fixture", fixture, "setup", shared=wide)

    def attempt(self, nodeid: str, stage: str) -> Attempt:
        """Return the attempt that a test is at; its set-up begins one.

        Args:
            nodeid: of the test.
            stage: the one that has just ended.
        """
        current = self._current
        if stage == "setup" or current is None or current.nodeid != nodeid:
            current = self._current = Attempt(nodeid, self.worker)
        return current

    def ended(self, attempt: Attempt, fixtures: Sequence[str]) -> None:
        """Note that an attempt is over.

        Args:
            attempt: at a test.
            fixtures: all those that the test uses.
        """
        attempt.raw_spans = self.spans.take()
        uses = self._wide.intersection(fixtures)
        # Some are asked for by name, at run time.
        uses.update(each[1] for each in attempt.raw_spans if each[0] == "fixture" and each[5])
        attempt.uses = tuple(uses)
        self.attempts.append(attempt)
        self._current = None

    def to_send(self) -> list[Any]:
        """Return the attempts that have ended, as xdist can send them, and forget them."""
        attempts, self.attempts = self.attempts, []
        return [each.to_plain() for each in attempts]

    def receive(self, attempts: Iterable[Sequence[Any]]) -> None:
        """Take over attempts of another process."""
        self.attempts += map(Attempt.from_plain, attempts)

    def worker_end(self) -> dict[str, Any]:
        """Return what is known of this process at its end, beside its attempts."""
        return {
            "worker": self.worker,
            "began": self._began,
            "recorded": self._recorded,
            "collected": self.collected,
            "ended": self.spans.clock(),
            "use": own_use(),
        }


def own_use() -> dict[str, int | float | None]:
    """Return it by the names that `WorkerRecord` has for it."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    storage = _storage()
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, on macOS bytes
    return {
        "cpu_s": own.ru_utime + own.ru_stime,
        "children_cpu_s": children.ru_utime + children.ru_stime,
        "peak_memory_bytes": own.ru_maxrss * unit,
        "read_bytes": storage.get("read_bytes"),
        "written_bytes": storage.get("write_bytes"),
    }


def _storage() -> dict[str, int]:
    with suppress(OSError, ValueError):  # only Linux has it
        lines = Path("/proc/self/io").read_text().splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return {}
