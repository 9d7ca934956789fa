"""Makes the record of a run from what its processes reported.

A test's time is divided into spans without gaps and overlaps, its waiting time by what happened to
the copy of the stack meanwhile, and a worker's time into its tests and gaps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from dockwright.model import Trace
from dockwright.recording.messages import BrokerReport, Summary
from dockwright.recording.record import (
    Gap,
    GapName,
    Git,
    Machine,
    QueueCause,
    RunRecord,
    SharedCost,
    Span,
    StackRecord,
    TestRecord,
    WorkerRecord,
)
from dockwright.recording.recorder import SHORTEST_S, Attempt, RawSpan, uses_of


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known about a run in addition to what its processes recorded.

    Attributes:
        id: of the run.
        origin: when it began, on the monotonic clock.
        exit_code: pytest's.
        git: the source.
        machine: where it ran, without the engine.
        settings: those that are not default.
        now: the moment that counts as the end, on the monotonic clock.
    """

    id: str
    origin: float
    exit_code: int
    git: Git
    machine: Machine
    settings: Mapping[str, str] = field(default_factory=dict)
    now: float = field(default_factory=time.monotonic)

    @property
    def wall_s(self) -> float:
        """How long the run took."""
        return self.now - self.origin


def assemble(
    facts: RunInfo,
    attempts: Sequence[Attempt],
    worker_ends: Iterable[Mapping[str, Any]],
    summary: Summary,
) -> RunRecord:
    """Return the record of a run.

    Args:
        facts: what is known of it.
        attempts: at its tests, of all processes.
        worker_ends: what each process that ran tests reported at its end (`Recorder.worker_end`).
        summary: of all processes.
    """
    reported = BrokerReport.added(map(BrokerReport.from_json, summary.reports)).since(facts.origin)
    causes = Causes(reported.stacks)
    tests = [record_of(each, facts.origin, causes.split) for each in attempts]
    return RunRecord(
        id=facts.id,
        began_s=time.time() - (time.monotonic() - facts.origin),
        wall_s=facts.wall_s,
        exit_code=facts.exit_code,
        git=facts.git,
        machine=replace(facts.machine, engine=reported.engine),
        settings=facts.settings,
        workers=tuple(_workers(facts, tests, {each["worker"]: each for each in worker_ends})),
        tests=tuple(sorted(tests, key=lambda test: test.began_s + test.elapsed_s)),
        stacks=reported.stacks,
        samples=reported.samples,
        shared=(*_shared_fixtures(tests, uses_of(attempts)), *_boots(reported.stacks, tests)),
        engine_calls=reported.engine_calls,
        counts=summary.counts,
        notes=summary.notes,
        problems=summary.problems,
    )


def _workers(
    facts: RunInfo, tests: Sequence[TestRecord], worker_ends: Mapping[str, Mapping[str, Any]]
) -> Iterable[WorkerRecord]:
    lanes = by_worker(tests)
    for name in sorted({*lanes, *worker_ends}, key=lambda each: (len(each), each)):
        end = worker_ends.get(name)
        if end is None:
            yield lost(name, lanes[name], facts.wall_s)
            continue
        marks = LaneTimes(end["began"], end["recorded"], end["ended"], end["collected"])
        worker = WorkerRecord(name, **end["use"])
        yield with_gaps(worker, marks.since(facts.origin), lanes.get(name, []), facts.wall_s)


def _shared_fixtures(
    tests: Iterable[TestRecord], uses: Mapping[tuple[str, str], int]
) -> Iterable[SharedCost]:
    seconds: dict[tuple[str, str], float] = {}
    for test in tests:
        for span in test.spans:
            if span.shared and span.phase == "fixture":
                key = (test.worker, span.name)
                seconds[key] = seconds.get(key, 0.0) + span.seconds
    for (worker, name), total_s in sorted(seconds.items(), key=lambda each: -each[1]):
        yield SharedCost("fixture", name, worker, total_s, uses.get((worker, name), 0))


def _boots(stacks: Iterable[StackRecord], tests: Sequence[TestRecord]) -> Iterable[SharedCost]:
    for stack in stacks:
        users = sum(test.stack == stack.project for test in tests)
        for span in stack.spans:
            if span.phase == "start":
                yield SharedCost("start", stack.name, stack.project, span.seconds, users)


SplitQueue: TypeAlias = Callable[[Span, str], Iterable[Span]]
"""Divides a ``queue`` span, with the project of the stack, into spans by cause."""


def record_of(attempt: Attempt, origin: float, split_queue: SplitQueue) -> TestRecord:
    """Return the record of an attempt.

    Args:
        attempt: at a test.
        origin: the start of the run, on the monotonic clock.
        split_queue: divides its waiting time by cause.
    """
    began, ended = attempt.began, attempt.ended
    spans = [
        span
        for raw_span in attempt.raw_spans
        for span in _spans(raw_span, origin, split_queue, began)
    ]
    if "call" in attempt.stages:
        begin, end = attempt.stages["call"]
        spans += _rest(spans, begin - origin, end - origin)
    other_s = ended - began - sum(span.seconds for span in spans)
    if other_s >= SHORTEST_S:
        spans.append(Span("other", "", began - origin, other_s))
    return TestRecord(
        nodeid=attempt.nodeid,
        worker=attempt.worker,
        began_s=began - origin,
        wall_s=sum(span.seconds for span in spans if not span.shared),
        outcome=attempt.outcome,
        lane=attempt.lane,
        stack=attempt.stack,
        spans=tuple(sorted(spans, key=_began)),
        message=attempt.message,
        audited=attempt.audited,
        traces=tuple(Trace(*each) for each in attempt.traces),
        logs=tuple(attempt.logs),
    )


def _spans(
    raw_span: RawSpan, origin: float, split_queue: SplitQueue, earliest: float
) -> Iterator[Span]:
    phase, name, begin, seconds, step, shared, project = raw_span
    if begin + seconds <= earliest:  # of a fixture that was closed between two tests
        return
    span = Span(phase, name, begin - origin, seconds, step, shared)
    if phase == "queue":
        yield from split_queue(span, project)
    else:
        yield span


def _rest(spans: Sequence[Span], begin: float, end: float) -> list[Span]:
    """Return the call's own time: what no other span within it takes."""
    inside = sorted((span for span in spans if begin <= span.began_s < end), key=_began)
    found = []
    for span in inside:
        found.append(Span("call", "", begin, span.began_s - begin))
        begin = span.began_s + span.seconds
    found.append(Span("call", "", begin, end - begin))
    return [span for span in found if span.seconds >= SHORTEST_S] or found[-1:]


def _began(span: Span) -> float:
    return span.began_s


_CAUSES: Mapping[str, QueueCause] = {
    "start": "starting",
    "reset": "resetting",
    "lease": "in use",
}
"""What happened to the copy, and the cause that it stands for."""

_SLIVER_S = 0.0005
"""Shorter parts are those of the request itself, and of clocks read in another order."""


class Causes:
    """Divides waiting times by what happened to the copies meanwhile.

    Args:
        stacks: the copies of the run.
    """

    def __init__(self, stacks: Iterable[StackRecord]) -> None:
        self._stacks = {stack.project: stack for stack in stacks}
        names = [stack.name for stack in self._stacks.values()]
        self._alone = {name for name in names if names.count(name) == 1}

    def split(self, waited: Span, project: str) -> Iterator[Span]:
        """Return the waiting time in parts, each with its cause as its name.

        Waiting for a start is shared: any test that came first would have waited for it.
        """
        stack = self._stacks.get(project)
        if stack is None:
            yield _part(waited, "asking", waited.began_s, waited.began_s + waited.seconds)
            return
        at, end = waited.began_s, waited.began_s + waited.seconds
        certain = stack.name in self._alone
        for begin, stop, cause in _occasions(stack.spans, at, end):
            if stop - max(at, begin) < _SLIVER_S:
                continue
            if begin - at >= _SLIVER_S:
                yield _part(waited, "asking", at, begin)
                at = begin
            yield _part(waited, cause, at, stop, certain=certain)
            at = stop
        if end > at:
            yield _part(waited, "asking", at, end)


def _part(
    waited: Span, cause: QueueCause, begin: float, end: float, *, certain: bool = True
) -> Span:
    return Span(
        "queue",
        cause,
        begin,
        end - begin,
        shared=waited.shared or cause == "starting",
        certain=certain,
    )


def _occasions(
    spans: Sequence[Span], begin: float, end: float
) -> Iterator[tuple[float, float, QueueCause]]:
    """Return what happened to a copy within a period, clipped to it, in order."""
    found = sorted(
        (max(begin, span.began_s), min(end, span.began_s + span.seconds), _CAUSES[span.phase])
        for span in spans
        if span.phase in _CAUSES and span.began_s < end and span.began_s + span.seconds > begin
        # A lease that has not ended is not a cause: it is the test's own, or shared with it.
        if span.phase != "lease" or span.began_s + span.seconds <= end
    )
    for at, stop, cause in found:
        at = max(at, begin)
        if stop > at:
            yield at, stop, cause
            begin = stop


_NOTHING_S = 1e-6


@dataclass(frozen=True, slots=True)
class LaneTimes:
    """When the process of one lane did what; on one clock, in seconds.

    Attributes:
        began: pytest was configured.
        recorded: the recording began; tests before that are not known.
        collected: the tests were collected; None where that was not seen.
        ended: everything was closed.
    """

    began: float
    recorded: float
    ended: float
    collected: float | None = None

    def since(self, origin: float) -> LaneTimes:
        """Return the same, counted from another begin."""
        collected = None if self.collected is None else self.collected - origin
        return LaneTimes(
            self.began - origin, self.recorded - origin, self.ended - origin, collected
        )


def with_gaps(
    worker: WorkerRecord, marks: LaneTimes, tests: Sequence[TestRecord], wall_s: float
) -> WorkerRecord:
    """Return the worker with its gaps; with its tests they add up to the wall time.

    Args:
        worker: without gaps.
        marks: of the worker, counted from the start of the run.
        tests: its own, in the order in which they ran.
        wall_s: of the run.
    """
    gaps = _Gaps()
    gaps.until("starting", marks.began)
    if marks.collected is not None:
        gaps.until("collection", marks.collected)
    if marks.recorded > gaps.at:
        gaps.until("unrecorded", marks.recorded)
    for test in tests:
        gaps.until("between", test.began_s)
        gaps.at = test.began_s + test.elapsed_s
    gaps.until("closing", marks.ended)
    gaps.until("ending", wall_s)
    return replace(worker, gaps=gaps.found())


def lost(name: str, tests: Sequence[TestRecord], wall_s: float) -> WorkerRecord:
    """Return a worker that crashed: it never reported its end."""
    first, last = tests[0], tests[-1]
    marks = LaneTimes(0.0, first.began_s, last.began_s + last.elapsed_s)
    return with_gaps(WorkerRecord(name), marks, tests, wall_s)


class _Gaps:
    def __init__(self) -> None:
        self.at = 0.0
        self._found: dict[GapName, Gap] = {}

    def until(self, name: GapName, end: float) -> None:
        seconds = end - self.at
        if seconds > _NOTHING_S:
            known = self._found.get(name, Gap(name, self.at, 0.0))
            self._found[name] = replace(known, seconds=known.seconds + seconds)
            self.at = end

    def found(self) -> tuple[Gap, ...]:
        return tuple(self._found.values())


def by_worker(tests: Iterable[TestRecord]) -> Mapping[str, list[TestRecord]]:
    """Return the tests of each worker, in the order in which they ran."""
    lanes: dict[str, list[TestRecord]] = {}
    for test in sorted(tests, key=lambda each: each.began_s):
        lanes.setdefault(test.worker, []).append(test)
    return lanes
