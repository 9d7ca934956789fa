"""Makes the record of a run of what its processes have told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dockwright.measure.attempt import Attempt, uses_of
from dockwright.measure.causes import Causes
from dockwright.measure.division import record_of
from dockwright.measure.lanes import Marks, by_worker, lost, with_gaps
from dockwright.measure.record import (
    Git,
    Machine,
    RunRecord,
    SharedCost,
    StackRecord,
    TestRecord,
    WorkerRecord,
)
from dockwright.measure.summary import Summary
from dockwright.measure.told import Told


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run beside what its processes recorded.

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
    facts: Facts,
    attempts: Sequence[Attempt],
    farewells: Iterable[Mapping[str, Any]],
    summary: Summary,
) -> RunRecord:
    """Return the record of a run.

    Args:
        facts: what is known of it.
        attempts: at its tests, of all processes.
        farewells: what each process that ran tests told at its end (`Recorder.farewell`).
        summary: of all processes.
    """
    told = Told.added(map(Told.from_json, summary.told)).since(facts.origin)
    causes = Causes(told.stacks)
    tests = [record_of(each, facts.origin, causes.split) for each in attempts]
    return RunRecord(
        id=facts.id,
        began_s=time.time() - (time.monotonic() - facts.origin),
        wall_s=facts.wall_s,
        exit_code=facts.exit_code,
        git=facts.git,
        machine=replace(facts.machine, engine=told.engine),
        settings=facts.settings,
        workers=tuple(_workers(facts, tests, {each["worker"]: each for each in farewells})),
        tests=tuple(sorted(tests, key=lambda test: test.began_s + test.elapsed_s)),
        stacks=told.stacks,
        samples=told.samples,
        shared=(*_shared_fixtures(tests, uses_of(attempts)), *_boots(told.stacks, tests)),
        engine_calls=told.engine_calls,
        counts=summary.counts,
        notes=summary.notes,
        problems=summary.problems,
    )


def _workers(
    facts: Facts, tests: Sequence[TestRecord], farewells: Mapping[str, Mapping[str, Any]]
) -> Iterable[WorkerRecord]:
    lanes = by_worker(tests)
    for name in sorted({*lanes, *farewells}, key=lambda each: (len(each), each)):
        told = farewells.get(name)
        if told is None:
            yield lost(name, lanes[name], facts.wall_s)
            continue
        marks = Marks(told["began"], told["recorded"], told["ended"], told["collected"])
        worker = WorkerRecord(name, **told["use"])
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
