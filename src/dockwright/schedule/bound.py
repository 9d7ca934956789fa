"""The lower bound: a wall time that no order of the tests can beat, and why it cannot.

Each part is a sum or a longest element of what has to happen anyway, as in Graham's and later
bounds for parallel machines; the largest one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockwright.schedule.copies import AllCopies
from dockwright.schedule.model import Block, Resources, StackModel, seconds_of


@dataclass(frozen=True, slots=True)
class Bound:
    """A wall time that no order can beat.

    Attributes:
        seconds: the wall time.
        kind: what it follows from: ``work`` (all tests over all workers), ``boot`` (workers have
            nothing to do until a stack has started), ``block`` (one test, or tests that have to
            stay together), ``pair`` (two long tests must share a worker), ``copies`` (exclusive
            leases over the copies that fit), or ``nothing`` (no tests).
        subject: the stack, or the first test of the block.
        tests: how many tests it is about.
    """

    seconds: float
    kind: str = "nothing"
    subject: str = ""
    tests: int = 0


def bound_of(blocks: Sequence[Block], resources: Resources) -> Bound:
    """Return the largest lower bound for the wall time of all blocks."""
    if not blocks:
        return Bound(0.0)
    return max(_bounds(blocks, resources), key=lambda bound: bound.seconds)


def _bounds(blocks: Sequence[Block], resources: Resources) -> Iterator[Bound]:
    workers = max(1, resources.workers)
    work_s = seconds_of(blocks)
    tests = sum(len(block.tests) for block in blocks)
    yield Bound(work_s / workers, "work", tests=tests)
    yield from _boot(blocks, resources, workers)
    alone_s, block = max(
        ((_alone_s(block, resources), block) for block in blocks), key=lambda each: each[0]
    )
    yield Bound(alone_s, "block", block.tests[0].name, len(block.tests))
    longest = sorted((block.seconds for block in blocks), reverse=True)
    if len(longest) > workers:  # two of the longest must share a worker
        yield Bound(longest[workers - 1] + longest[workers], "pair", tests=workers + 1)
    for name in {test.stack: None for block in blocks for test in block.tests if test.stack}:
        yield _exclusive_work(blocks, name, resources.stack(name), workers)


def _boot(blocks: Sequence[Block], resources: Resources, workers: int) -> Iterator[Bound]:
    """Yield the bound that follows from idle workers while the first stack starts."""
    later = [block for block in blocks if block.tests[0].stack]
    if not later:
        return
    boot_s = min(resources.stack(block.tests[0].stack).ready_s(0) for block in later)
    meanwhile_s = seconds_of(blocks) - seconds_of(later)
    if meanwhile_s < workers * boot_s:
        seconds = boot_s + seconds_of(later) / workers
        yield Bound(seconds, "boot", later[0].tests[0].stack, sum(len(b.tests) for b in later))


def _alone_s(block: Block, resources: Resources) -> float:
    """Return how long a block takes if nothing else runs."""
    if len(block.tests) == 1:
        stack = block.tests[0].stack
        return block.seconds + (resources.stack(stack).ready_s(0) if stack else 0.0)
    return AllCopies(resources).run(block, 0.0)[-1].ended_s


def _exclusive_work(blocks: Sequence[Block], name: str, stack: StackModel, workers: int) -> Bound:
    """Return the bound from the time that the copies of one stack have to be leased.

    With `used` copies, all but `used` of the exclusive leases are followed by a reset that another
    lease waits for. Shared leases do not overlap exclusive ones of the same copy, and at most as
    many as there are workers run at once.
    """
    holds = [seconds for block in blocks for seconds in _holds(block, name)]
    shared_s = sum(
        test.seconds
        for block in blocks
        for test in block.tests
        if test.stack == name and not test.exclusive
    )
    tests = sum(test.stack == name for block in blocks for test in block.tests)
    found = []
    ready_s = 0.0
    for used in range(1, stack.copies + 1):
        ready_s += stack.ready_s(used - 1)
        resets_s = stack.reset_s * max(0, len(holds) - used)
        found.append((ready_s + sum(holds) + resets_s + shared_s / workers) / used)
    return Bound(min(found), "copies", name, tests)


def _holds(block: Block, stack: str) -> Iterator[float]:
    """Yield how long each exclusive lease of a stack lasts at least."""
    leases: dict[str, float] = {}
    for test in block.tests:
        if test.stack == stack and test.exclusive:
            if test.lease:
                leases[test.lease] = leases.get(test.lease, 0.0) + test.seconds
            else:
                yield test.seconds
    yield from leases.values()
