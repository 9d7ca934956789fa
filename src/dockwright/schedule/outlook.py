"""What a suite would take with other workers, machines and engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dockwright.schedule.blocks import blocks_of
from dockwright.schedule.bound import bound_of
from dockwright.schedule.costs import Costs
from dockwright.schedule.model import Plan, Resources, Test
from dockwright.schedule.planner import plan
from dockwright.schedule.resources import resources_of
from dockwright.schedule.shards import shards_of
from dockwright.schedule.verdict import held_back_by


@dataclass(frozen=True, slots=True)
class Choice:
    """What a suite may run on.

    Attributes:
        workers: how many processes run tests in each shard.
        shards: how many machines share the suite.
        engines: how many engines serve each shard.
        limit: how many copies there can be at once on one engine.
        memory_bytes: what the copies on one engine may use; 0: no limit.
    """

    workers: int = 1
    shards: int = 1
    engines: int = 1
    limit: int = 4
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a choice leads to; of several shards, the longest one counts.

    Attributes:
        choice: what the suite runs on.
        wall_s: how long it takes, from the start of pytest to its end.
        bound_s: a wall time that no order of the tests can beat, with these shards.
        machine_s: how long all machines together are busy.
        held_back_by: what the bound of the longest shard follows from.
        plans: the plan of each shard.
    """

    choice: Choice
    wall_s: float
    bound_s: float
    machine_s: float
    held_back_by: str
    plans: tuple[Plan, ...]


def forecast(tests: Sequence[Test], costs: Costs, choice: Choice) -> Forecast:
    """Return what a suite would take.

    Args:
        tests: of the suite.
        costs: what they, the stacks, and the start and end of a run take.
        choice: what they run on.
    """
    shards = shards_of(tests, choice.shards, costs) if choice.shards > 1 else [list(tests)]
    around_s = costs.starting_s + costs.fixtures_s + costs.closing_s
    plans, bounds = [], []
    for shard in shards:
        blocks = blocks_of(shard, workers=choice.workers)
        resources = _resources(shard, costs, choice)
        plans.append(plan(blocks, resources))
        bound = bound_of(blocks, resources)
        bounds.append((around_s + bound.seconds, held_back_by(bound, resources)))
    walls_s = [around_s + each.wall_s for each in plans]
    bound_s, why = max(bounds)
    machines = choice.engines * sum(walls_s)
    return Forecast(choice, max(walls_s), bound_s, machines, why, tuple(plans))


def _resources(tests: Sequence[Test], costs: Costs, choice: Choice) -> Resources:
    return resources_of(
        costs,
        exclusive_leases(tests),
        choice.workers,
        limit=choice.limit,
        memory_bytes=choice.memory_bytes,
        engines=choice.engines,
    )


def exclusive_leases(tests: Sequence[Test]) -> dict[str, int]:
    """Return how many exclusive leases of each stack the tests need; 1 if they only share it."""
    holders: dict[str, set[str]] = {}
    for test in tests:
        if test.stack:
            held = holders.setdefault(test.stack, set())
            if test.exclusive:
                held.add(test.lease or test.name)
    return {stack: max(1, len(held)) for stack, held in holders.items()}
