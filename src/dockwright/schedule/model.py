"""What a plan is made from and what it consists of: tests, blocks, resources, a plan.

All times are in seconds; those of a plan count from the moment at which tests can begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Test:
    """What is known about one test before it runs.

    Attributes:
        name: pytest's node id.
        seconds: how long it is expected to keep its worker busy, without waiting for a stack.
        stack: the declared stack that it leases; empty: none.
        exclusive: whether it leases the stack exclusively.
        lease: tests of one block with the same name here share one exclusive lease.
        together: tests that share one of these names run in one worker, one after the other.
        prefers: tests that share this name run in one worker, unless they take too long for one.
        after: the names of the tests that must have ended before it begins.
    """

    __test__ = False  # pytest would collect it for its name

    name: str
    seconds: float
    stack: str = ""
    exclusive: bool = True
    lease: str = ""
    together: tuple[str, ...] = ()
    prefers: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Tests that run in one worker, one after the other, without others in between.

    Attributes:
        tests: in the order in which they run.
        seconds: the sum of their times.
    """

    tests: tuple[Test, ...]
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", sum(test.seconds for test in self.tests))


@dataclass(frozen=True, slots=True)
class StackModel:
    """What a plan knows about one declared stack.

    Attributes:
        copies: how many copies of it can exist at once.
        boot_s: how long the start of a copy takes.
        reset_s: how long a copy cannot be leased after an exclusive lease.
        memory_bytes: what one copy needs; 0: unknown.
        starts: how many copies start at the same time, one on each engine.
    """

    copies: int = 1
    boot_s: float = 0.0
    reset_s: float = 0.0
    memory_bytes: int = 0
    starts: int = 1

    def ready_s(self, copy: int) -> float:
        """Return when a copy, counted from 0, can be leased for the first time."""
        return self.boot_s * (1 + copy // self.starts)


@dataclass(frozen=True, slots=True)
class Resources:
    """What tests run on.

    Attributes:
        workers: how many processes run tests.
        stacks: the declared stacks by name; a stack that is missing here has one copy.
    """

    workers: int = 1
    stacks: Mapping[str, StackModel] = field(default_factory=dict)

    def stack(self, name: str) -> StackModel:
        """Return what is known about a stack."""
        return self.stacks.get(name, _UNKNOWN)


_UNKNOWN = StackModel()


@dataclass(frozen=True, slots=True)
class Placed:
    """One test of a plan.

    Attributes:
        test: the test.
        began_s: when it begins, once it has its stack.
        waited_s: how long its worker waits for the stack before that.
    """

    test: Test
    began_s: float
    waited_s: float = 0.0

    @property
    def ended_s(self) -> float:
        """When it ends."""
        return self.began_s + self.test.seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """An order for each worker.

    Attributes:
        workers: the tests of each worker, in order.
        wall_s: when the last test ends.
    """

    workers: tuple[tuple[Placed, ...], ...]
    wall_s: float

    def order(self) -> list[Test]:
        """Return all tests by the time at which they begin."""
        placed = [each for worker in self.workers for each in worker]
        return [each.test for each in sorted(placed, key=lambda each: each.began_s)]


def seconds_of(blocks: Sequence[Block]) -> float:
    """Return how long one worker is busy with all blocks."""
    return sum(block.seconds for block in blocks)
