"""When the processes that run tests ran none: the gaps of their lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dockwright.measure.record import Gap, GapName, TestRecord, WorkerRecord

_NOTHING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Marks:
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

    def since(self, origin: float) -> Marks:
        """Return the same, counted from another begin."""
        collected = None if self.collected is None else self.collected - origin
        return Marks(self.began - origin, self.recorded - origin, self.ended - origin, collected)


def with_gaps(
    worker: WorkerRecord, marks: Marks, tests: Sequence[TestRecord], wall_s: float
) -> WorkerRecord:
    """Return the worker with its gaps; with its tests they add up to the wall time.

    Args:
        worker: without gaps.
        marks: of the worker, from the begin of the run.
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
    """Return a worker that never told its end: it crashed."""
    first, last = tests[0], tests[-1]
    marks = Marks(0.0, first.began_s, last.began_s + last.elapsed_s)
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
