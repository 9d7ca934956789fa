"""What holds a run back, and what other resources or markers would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dockwright._text import counted
from dockwright.schedule.bound import Bound
from dockwright.schedule.model import Block, Resources, StackModel, Test
from dockwright.schedule.planner import plan

_MOST_BLOCKS = 3_000
"""Of more blocks no other plans are made: that would take longer than it is worth."""

_WORTH_S, _WORTH_PART = 0.2, 0.03


@dataclass(frozen=True, slots=True)
class Change:
    """Something that would make a run shorter.

    Attributes:
        what: the change, such as ``2 more copies of stack shop``.
        seconds: how much shorter the plan becomes.
        tests: the tests that it is about, if it is about some of them.
    """

    what: str
    seconds: float
    tests: tuple[str, ...] = ()


def held_back_by(bound: Bound, resources: Resources) -> str:
    """Return what the lower bound follows from, in words that follow "held back by"."""
    copies = resources.stack(bound.subject).copies
    return {
        "work": f"the work of {counted(bound.tests, 'test')} for "
        f"{counted(resources.workers, 'worker')}",
        "boot": f"the start of stack {bound.subject}",
        "block": bound.subject
        + (f" and {bound.tests - 1} more in one worker" if bound.tests > 1 else ""),
        "pair": "two long tests that share a worker",
        "copies": f"{counted(copies, 'copy', 'copies')} of stack {bound.subject}",
    }.get(bound.kind, "nothing")


def changes(blocks: Sequence[Block], resources: Resources) -> list[Change]:
    """Return what would make the plan shorter, the largest saving first.

    Args:
        blocks: what has to run.
        resources: what they run on.
    """
    if not blocks or len(blocks) > _MOST_BLOCKS:
        return []
    now_s = plan(blocks, resources).wall_s
    found = [
        Change(what, now_s - plan(others, changed).wall_s, tests)
        for what, others, changed, tests in _variants(blocks, resources)
    ]
    least_s = max(_WORTH_S, _WORTH_PART * now_s)
    worth = [change for change in found if change.seconds >= least_s]
    return sorted(worth, key=lambda change: -change.seconds)


def _variants(
    blocks: Sequence[Block], resources: Resources
) -> Iterator[tuple[str, Sequence[Block], Resources, tuple[str, ...]]]:
    for more in (1, 2):
        workers = replace(resources, workers=resources.workers + more)
        yield counted(more, "more worker"), blocks, workers, ()
    for name, stack in resources.stacks.items():
        for more in (1, 2):
            what = counted(more, "more copy", "more copies") + f" of stack {name}"
            yield what, blocks, _with(resources, name, stack, more), ()
        exclusive = tuple(test.name for test in _exclusive(blocks, name))
        if exclusive:
            what = f"if {counted(len(exclusive), 'test')} of stack {name} only read: mark stateless"
            yield what, [_shared(block, name) for block in blocks], resources, exclusive


def _with(resources: Resources, name: str, stack: StackModel, more: int) -> Resources:
    stacks: Mapping[str, StackModel] = {
        **resources.stacks,
        name: replace(stack, copies=stack.copies + more),
    }
    return replace(resources, stacks=stacks)


def _exclusive(blocks: Sequence[Block], stack: str) -> Iterator[Test]:
    for block in blocks:
        for test in block.tests:
            if test.stack == stack and test.exclusive and not test.lease:
                yield test


def _shared(block: Block, stack: str) -> Block:
    return Block(
        tuple(
            replace(test, exclusive=False) if test.stack == stack and not test.lease else test
            for test in block.tests
        )
    )
