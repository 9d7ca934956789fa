"""The planner: an order for each worker, by list scheduling with several rules of priority.

List scheduling (Graham 1966, 1969): whenever a worker is free, it begins the first block of a
list that can begin. Longest first is the rule with the best guarantee for tests that need nothing;
copies of stacks, their starts and their resets make other lists better, so several are tried and
the best plan wins. Plans for few blocks are then improved by moving single blocks within the list.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence

from dockwright.schedule.bound import bound_of
from dockwright.schedule.copies import AllCopies
from dockwright.schedule.model import Block, Placed, Plan, Resources
from dockwright.schedule.queue import BlockQueue

_FEW_BLOCKS = 60
"""More are not improved: the more blocks there are, the closer is a list to the bound."""

_TRIES = 240
_NEAR, _NEAR_FOR_MANY = 1.0005, 1.005
"""A plan this close to the bound is not worth improving; the second is for more than
`_MANY_BLOCKS`."""

_MANY_BLOCKS = 1_000


def plan(blocks: Sequence[Block], resources: Resources, *, keep_order: bool = False) -> Plan:
    """Return an order for each worker.

    Args:
        blocks: what has to run; their order is the order in which the tests were collected.
        resources: what they run on.
        keep_order: whether blocks begin in the given order as far as their stacks are free.
    """
    if keep_order:
        return simulated(blocks, resources)
    near = _NEAR if len(blocks) <= _MANY_BLOCKS else _NEAR_FOR_MANY
    enough_s = bound_of(blocks, resources).seconds * near
    best: Plan | None = None
    chosen: tuple[Sequence[Block], bool] = (blocks, False)
    for order in _lists(blocks, resources):
        found = simulated(order, resources)
        if best is None or found.wall_s < best.wall_s:
            best, chosen = found, (order, False)
        if best.wall_s <= enough_s:
            return best
    if best is None:
        return Plan((), 0.0)
    return _improved(best, chosen[0], resources, enough_s) if len(blocks) <= _FEW_BLOCKS else best


def simulated(blocks: Sequence[Block], resources: Resources, *, patient: bool = False) -> Plan:
    """Return the plan that a list of blocks leads to.

    Args:
        blocks: highest priority first.
        resources: what they run on.
        patient: whether the list is followed strictly: workers wait for its first block's stack.
    """
    copies, queue = AllCopies(resources), BlockQueue(blocks, patient=patient)
    workers: list[list[Placed]] = [[] for _ in range(max(1, resources.workers))]
    free = [(0.0, number) for number in range(len(workers))]
    while queue:
        at, worker = free[0]
        placed = copies.run(queue.take(copies, at), at)
        workers[worker] += placed
        heapq.heapreplace(free, (placed[-1].ended_s, worker))
    return Plan(tuple(map(tuple, workers)), max(at for at, _ in free))


def _lists(blocks: Sequence[Block], resources: Resources) -> Iterator[Sequence[Block]]:
    """Yield lists of the blocks, each by another rule of priority."""
    longest = sorted(blocks, key=lambda block: -block.seconds)
    pressure = _pressure(blocks, resources)
    yield sorted(longest, key=lambda block: -pressure(block))
    yield longest
    yield sorted(longest, key=lambda block: not _exclusive(block))
    yield sorted(longest, key=lambda block: (not _exclusive(block), bool(block.tests[0].stack)))
    yield sorted(longest, key=lambda block: (not block.tests[0].stack, _exclusive(block)))
    yield blocks


def _pressure(blocks: Sequence[Block], resources: Resources) -> Callable[[Block], float]:
    """Return a function: how long the copies that a block leases would be busy at least."""
    busy_s: dict[tuple[str, bool], float] = {}
    for block in blocks:
        first = block.tests[0]
        if first.stack:
            stack = resources.stack(first.stack)
            width = stack.copies if first.exclusive else max(1, resources.workers)
            more_s = block.seconds + (stack.reset_s if first.exclusive else 0.0)
            key = (first.stack, first.exclusive)
            busy_s[key] = busy_s.get(key, stack.boot_s) + more_s / width
    return lambda block: busy_s.get((block.tests[0].stack, block.tests[0].exclusive), 0.0)


def _exclusive(block: Block) -> bool:
    return bool(block.tests[0].stack) and block.tests[0].exclusive


def _improved(best: Plan, order: Sequence[Block], resources: Resources, enough_s: float) -> Plan:
    """Move single blocks within the list as long as that makes the plan no longer.

    The random numbers have a fixed seed: the same tests always have the same plan.
    """
    moves = random.Random(len(order))  # noqa: S311 - not for secrets
    for patient in (False, True):
        current, current_s = list(order), simulated(order, resources, patient=patient).wall_s
        for _ in range(_TRIES):
            if best.wall_s <= enough_s:
                return best
            tried = list(current)
            tried.insert(moves.randrange(len(tried)), tried.pop(moves.randrange(len(tried))))
            found = simulated(tried, resources, patient=patient)
            if found.wall_s <= current_s:
                current, current_s = tried, found.wall_s
                best = min(best, found, key=lambda each: each.wall_s)
    return best
