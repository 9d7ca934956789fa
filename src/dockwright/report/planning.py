"""How a run compares with its plan: the lower bound, what held it back, what would change that."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.recording import RunRecord, WorkerRecord, measured_resources, measured_tests
from dockwright.schedule import Change, blocks_of, bound_of, changes, held_back_by

_BEFORE = ("starting", "collection")
_AFTER = ("closing", "ending")


@dataclass(frozen=True, slots=True)
class PlanReview:
    """A run compared with what was possible.

    Attributes:
        wall_s: how long it took.
        predicted_s: how long it was expected to take; 0: unknown.
        bound_s: a wall time that no order of its tests could have beaten, with the same processes
            and copies: what happens before and after the tests included.
        held_back_by: what the bound follows from.
        changes: what would have made it shorter, the largest saving first.
    """

    wall_s: float
    predicted_s: float
    bound_s: float
    held_back_by: str
    changes: tuple[Change, ...]


def retrospect(run: RunRecord) -> PlanReview | None:
    """Compare a run with what was possible; None if it ran no tests."""
    if not run.tests or not run.workers:
        return None
    resources = measured_resources(run)
    blocks = blocks_of(measured_tests(run))
    around_s = min(_gaps_s(each, _BEFORE) for each in run.workers) + min(
        _gaps_s(each, _AFTER) for each in run.workers
    )
    bound = bound_of(blocks, resources)
    return PlanReview(
        run.wall_s,
        run.predicted_s,
        min(run.wall_s, around_s + bound.seconds),
        held_back_by(bound, resources),
        tuple(changes(blocks, resources)),
    )


def _gaps_s(worker: WorkerRecord, names: tuple[str, ...]) -> float:
    return sum(gap.seconds for gap in worker.gaps if gap.name in names)
