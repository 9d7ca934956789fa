"""The copies of the stacks while a plan is made or followed: who can have one, and when."""

from __future__ import annotations

import math

from dockwright.schedule.model import Block, Placed, Resources, StackModel, Test


class Copies:
    """When the copies of one stack can be leased.

    Args:
        stack: what is known about it.
    """

    def __init__(self, stack: StackModel) -> None:
        self._reset_s = stack.reset_s
        self._clean_s = [stack.ready_s(copy) for copy in range(stack.copies)]
        self._free_s = list(self._clean_s)
        """When the last lease, shared or exclusive, is over."""
        self._shared = 0
        self._next: dict[bool, tuple[float, int]] = {}
        """The first moment at which any copy can be leased, shared or exclusively, and which."""

    def earliest(self, at: float, *, exclusive: bool) -> tuple[float, int]:
        """Return when a lease can begin, not before `at`, and of which copy."""
        # Shared leases gather on one copy, as in the pool.
        if not exclusive and self._clean_s[self._shared] <= at < self._free_s[self._shared]:
            return at, self._shared
        if exclusive not in self._next:
            moments = self._free_s if exclusive else self._clean_s
            start = min(moments)
            self._next[exclusive] = start, moments.index(start)
        start, copy = self._next[exclusive]
        return max(at, start), copy

    def lease(self, copy: int, until: float, *, exclusive: bool) -> None:
        """Lease a copy; after an exclusive lease it is reset."""
        self._next.clear()
        if exclusive:
            self._clean_s[copy] = self._free_s[copy] = until + self._reset_s
        else:
            self._shared = copy
            self._free_s[copy] = max(self._free_s[copy], until)

    def hold(self, copy: int) -> None:
        """Lease a copy exclusively without knowing the end; `lease` ends it."""
        self._next.clear()
        self._clean_s[copy] = self._free_s[copy] = math.inf


class AllCopies:
    """The copies of all stacks.

    Args:
        resources: what tests run on.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stacks: dict[str, Copies] = {}

    def of(self, stack: str) -> Copies:
        """Return the copies of a stack."""
        if stack not in self._stacks:
            self._stacks[stack] = Copies(self._resources.stack(stack))
        return self._stacks[stack]

    def earliest(self, test: Test, at: float) -> float:
        """Return when a test can begin, not before `at`."""
        if not test.stack:
            return at
        return self.of(test.stack).earliest(at, exclusive=test.exclusive)[0]

    def run(self, block: Block, at: float) -> list[Placed]:
        """Run the tests of a block from `at` on; each waits until it can lease its stack."""
        placed: list[Placed] = []
        held: dict[str, tuple[int, str]] = {}
        last = {test.lease: test for test in block.tests if test.lease}
        for test in block.tests:
            start, copy = self._begin(test, at, held)
            placed.append(Placed(test, start, start - at))
            at = start + test.seconds
            if not test.stack:
                continue
            if not test.lease or last[test.lease] is test:
                self.of(test.stack).lease(copy, at, exclusive=test.exclusive)
                held.pop(test.lease, None)
            elif test.lease not in held:
                self.of(test.stack).hold(copy)
                held[test.lease] = (copy, test.stack)
        return placed

    def _begin(self, test: Test, at: float, held: dict[str, tuple[int, str]]) -> tuple[float, int]:
        if not test.stack:
            return at, 0
        if test.lease in held:
            return at, held[test.lease][0]
        start, copy = self.of(test.stack).earliest(at, exclusive=test.exclusive)
        if start == math.inf:  # the block's own lease has the only copy: pytest would wait for ever
            for held_copy, stack in held.values():
                self.of(stack).lease(held_copy, at, exclusive=True)
            held.clear()
            start, copy = self.of(test.stack).earliest(at, exclusive=test.exclusive)
        return start, copy
