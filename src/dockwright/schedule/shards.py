"""Shards: which machine runs which tests, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from dockwright.schedule.blocks import blocks_of
from dockwright.schedule.costs import Costs
from dockwright.schedule.model import Block, Test


def shards_of(tests: Sequence[Test], count: int, costs: Costs | None) -> list[list[Test]]:
    """Divide tests among machines; each test is in exactly one shard.

    With costs, the shards take equally long: the longest blocks come first, each to the shard that
    ends first with it. A shard that uses a stack pays for its start, so the tests of a stack are
    kept in as few shards as makes the longest shard shortest. Without costs the hash of a block's
    first test decides: a new test changes no other test's shard.

    Args:
        tests: of the whole suite, in any order; shards keep it.
        count: the number of shards.
        costs: of the tests and stacks; None: unknown.
    """
    blocks = blocks_of(tests, workers=count)
    chosen = _hashed(blocks, count) if costs is None else _balanced(blocks, count, costs)
    shard_of = {
        id(test): shard for shard, block in zip(chosen, blocks, strict=True) for test in block.tests
    }
    shards: list[list[Test]] = [[] for _ in range(count)]
    for test in tests:
        shards[shard_of[id(test)]].append(test)
    return shards


def _hashed(blocks: Sequence[Block], count: int) -> list[int]:
    names = (min(test.name for test in block.tests) for block in blocks)
    return [int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) % count for name in names]


def _balanced(blocks: Sequence[Block], count: int, costs: Costs) -> list[int]:
    # Ties are decided by names: two checkouts may collect in another order.
    order = sorted(
        range(len(blocks)), key=lambda each: (-blocks[each].seconds, blocks[each].tests[0].name)
    )
    numbers = {name: each for each, name in enumerate(sorted(_stacks_of(blocks)))}
    found = []
    for width in range(1, count + 1):
        homes = {
            name: {(number * width + each) % count for each in range(width)}
            for name, number in numbers.items()
        }
        found.append(_assigned(blocks, order, homes, count, costs))
    return min(found, key=lambda each: each[0])[1]


def _assigned(
    blocks: Sequence[Block],
    order: Sequence[int],
    homes: Mapping[str, set[int]],
    count: int,
    costs: Costs,
) -> tuple[float, list[int]]:
    """Return the longest shard's time and each block's shard.

    Args:
        blocks: what is divided.
        order: the numbers of the blocks, in the order in which they are placed.
        homes: the shards that may start each stack; a block with several stacks may go anywhere.
        count: the number of shards.
        costs: of the stacks.
    """
    loads = [0.0] * count
    started: list[set[str]] = [set() for _ in range(count)]
    chosen = [0] * len(blocks)
    for number in order:
        needs = _stacks_of([blocks[number]])
        allowed = homes[next(iter(needs))] if len(needs) == 1 else range(count)
        after_s = {
            shard: loads[shard]
            + blocks[number].seconds
            + sum(costs.stack(name).boot_s for name in needs - started[shard])
            for shard in sorted(allowed)
        }
        shard = min(after_s, key=after_s.__getitem__)
        loads[shard] = after_s[shard]
        started[shard] |= needs
        chosen[number] = shard
    return max(loads), chosen


def _stacks_of(blocks: Sequence[Block]) -> set[str]:
    return {test.stack for block in blocks for test in block.tests if test.stack}
