"""How many copies of each stack a plan may count on."""

from __future__ import annotations

from collections.abc import Mapping

from dockwright.schedule.costs import Costs
from dockwright.schedule.model import Resources, StackModel


def resources_of(
    costs: Costs,
    stacks: Mapping[str, int],
    workers: int,
    *,
    limit: int,
    memory_bytes: int = 0,
    engines: int = 1,
) -> Resources:
    """Return what a run with these workers can use.

    Each stack gets one copy; then the stack with the most exclusive leases for each of its copies
    gets another one, as long as copies are useful and there is room.

    Args:
        costs: what is known about the stacks.
        stacks: how many exclusive leases of each stack there will be.
        workers: how many processes run tests.
        limit: how many copies there can be at once on one engine.
        memory_bytes: what all copies on one engine may use; 0: no limit is known.
        engines: how many engines the copies are divided among.
    """
    copies = dict.fromkeys(stacks, 1)
    used_bytes = sum(costs.stack(name).memory_bytes for name in stacks)
    while sum(copies.values()) < limit * engines:
        room = [
            name
            for name, leases in stacks.items()
            if copies[name] < min(leases, workers + 1)
            and (
                not memory_bytes
                or used_bytes + costs.stack(name).memory_bytes <= memory_bytes * engines
            )
        ]
        if not room:
            break
        name = max(room, key=lambda each: stacks[each] / copies[each])
        copies[name] += 1
        used_bytes += costs.stack(name).memory_bytes
    return Resources(
        workers,
        {
            name: StackModel(
                count,
                costs.stack(name).boot_s,
                costs.stack(name).reset_s,
                costs.stack(name).memory_bytes,
                engines,
            )
            for name, count in copies.items()
        },
    )
