"""How many copies to keep: the demand as measured, and the policy that follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dockwright.pool.copies import Copy, State, Waiter, is_stuck, kept_for
from dockwright.pool.cores import usable_cores
from dockwright.pool.factory import Factory, available_bytes, usual_limit
from dockwright.stack import Stack

_SHORTEST_S = 0.02  # the shortest exclusive lease
_NOTHING_S = 0.001
_WORTH = 0.5
"""A spare is started if it saves tests at least this part of the time that its start takes: less
than all of it, because starts happen in the background and tests wait in the foreground."""


@dataclass(slots=True)
class DemandEstimate:
    """How many leases of one stack are expected, and how long its starts and resets take.

    Attributes:
        coming_exclusive: exclusive leases that were announced and not given yet.
        given_exclusive: exclusive leases that were given since the pool was last idle.
        most_at_once: the most exclusive leases that were held or awaited at the same time.
        start_s: the duration of the last start, in seconds; None: unknown, or it failed.
        seed_s: the duration of the last seed of a new copy, in seconds; 0: none ran.
        reset_s: the duration of resets, in seconds, smoothed; None: unknown.
        hold_s: the duration of exclusive leases, in seconds, smoothed; None: unknown.
        most: how many copies the host's memory holds, once it did not hold more; None: unknown.
        busy: how many cores a start, or a reset that gives new containers, keeps busy; 0: unknown.
        cores: how many there are.
    """

    coming_exclusive: int = 0
    given_exclusive: int = 0
    most_at_once: int = 0
    start_s: float | None = None
    seed_s: float = 0.0
    reset_s: float | None = None
    hold_s: float | None = None
    most: int | None = None
    busy: float = 0.0
    cores: int = field(default_factory=usable_cores)

    def note_lease(self) -> None:
        """Note that an exclusive lease was given."""
        self.coming_exclusive = max(0, self.coming_exclusive - 1)
        self.given_exclusive += 1

    def note_start(self, seconds: float) -> None:
        """Note the duration of a start."""
        self.start_s = seconds

    def expect_reset(self, seconds: float) -> None:
        """Set the expected duration of a reset, unless one was measured."""
        if self.reset_s is None:
            self.reset_s = seconds

    def note_reset(self, seconds: float) -> None:
        """Note the duration of a reset."""
        self.reset_s = _smoothed(self.reset_s, seconds)

    def note_hold(self, seconds: float) -> None:
        """Note the duration of an exclusive lease."""
        self.hold_s = _smoothed(self.hold_s, seconds)

    def copies_wanted(self, *, at_once: int, limit: int) -> int:
        """Return how many copies pay off.

        Args:
            at_once: how many exclusive leases are held or awaited now.
            limit: the most copies that can be useful on this machine.
        """
        if self.start_s is None or self.coming_exclusive == 0:
            return 1
        most = limit
        if self.reset_s is None:
            # Its duration is unknown: start one spare at most, and only with a core to spare.
            has_core = at_once + max(1.0, self.busy) < self.cores
            most = min(limit, 2 if has_core else 1)
        # Where the tests need the cores themselves, a start in the background delays them.
        crowded = self.busy and at_once + self.busy > self.cores
        worth = 1.0 if crowded else _WORTH
        cost_s = worth * self.start_s + self.seed_s  # a test waits while it seeds
        copies = 1
        while copies < most and self._saved_s(copies, at_once) >= cost_s:
            copies += 1
        return copies

    def is_overdue(self, waited_s: float) -> bool:
        """Return whether a test has waited for longer than another copy takes to start.

        Args:
            waited_s: how long it has waited, in seconds.
        """
        return waited_s >= (self.start_s or 0.0)

    def idle_copies_wanted(self, *, limit: int) -> int:
        """Return how many copies hide every reset of another run like the last one.

        Nobody waits for them to start. Resets are assumed to take twice as long as usual: few do,
        and tests wait for those. A run does not use more copies than it has exclusive leases.

        Args:
            limit: the most copies that can be useful on this machine.
        """
        at_once = self.most_at_once
        limit = min(limit, self.given_exclusive)
        if not at_once:
            return 0
        copies = at_once
        while copies < limit and self._less_s(copies, at_once, slower=2.0) > _NOTHING_S:
            copies += 1
        return min(copies, limit)

    def _saved_s(self, copies: int, at_once: int) -> float:
        """Return how much time one more copy than `copies` saves all tests, in seconds."""
        return self.coming_exclusive / at_once * self._less_s(copies, at_once)

    def _less_s(self, copies: int, at_once: int, *, slower: float = 1.0) -> float:
        """Return how much less a lease waits with one more copy than `copies`, in seconds."""
        more_s = self._wait_s(copies + 1, at_once, slower=slower)
        return self._wait_s(copies, at_once, slower=slower) - more_s

    def _wait_s(self, copies: int, at_once: int, *, slower: float = 1.0) -> float:
        """Return how long each lease waits for one of the copies, in seconds.

        A copy serves one lease in the time of a lease and a reset, as far as the cores suffice.
        """
        reset_s = self.reset_s if self.reset_s is not None else self.start_s or 0.0
        hold_s = max(_SHORTEST_S, self.hold_s or 0.0)
        served_s = at_once * (hold_s + slower * reset_s) / copies
        busy_s = at_once * slower * reset_s * self.busy / self.cores
        return max(0.0, max(served_s, busy_s) - hold_s)


def _smoothed(before: float | None, now: float) -> float:
    return now if before is None else 0.7 * before + 0.3 * now


_IN_PLACE_S = 0.05  # a reset that replaces nothing, until one was measured


@dataclass(slots=True, eq=False)
class CopyRegistry:
    """The declared stacks, their copies, and who waits for one; decides how many copies there are.

    Attributes:
        max_stacks: the most copies at once; 0: as many as pay off and memory allows.
        start: starts a new copy, in the background.
        discard: removes an unused copy, in the background.
        factories: makes copies, for each declared stack.
        demand: the estimate of demand, for each declared stack.
        copies: the copies that exist now.
        waiters: those who wait for a copy.
    """

    max_stacks: int
    start: Callable[[Copy], object]
    discard: Callable[[Copy], object]
    factories: dict[str, Factory] = field(default_factory=dict)
    demand: dict[str, DemandEstimate] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)

    def declare(self, key: str, factory: Factory) -> None:
        """Declare a stack, without starting it."""
        self.factories[key] = factory
        self.demand[key] = DemandEstimate()

    def of(self, key: str) -> list[Copy]:
        """Return the copies of one declared stack."""
        return [copy for copy in self.copies if copy.key == key]

    def copy_of(self, stack: Stack) -> Copy | None:
        """Return the copy whose stack this is; None: it is no longer in the pool."""
        return next((copy for copy in self.copies if copy.stack is stack), None)

    def copies_wanted(self, key: str) -> int:
        """Return how many copies of a stack pay off now."""
        in_use = sum(copy.state is State.EXCLUSIVE for copy in self.of(key))
        waiting = sum(waiter.key == key and waiter.exclusive for waiter in self.waiters)
        demand = self.demand[key]
        stays = any(copy.baseline.stays for copy in self.of(key))
        demand.busy = 0.0 if stays else self.factories[key].busy
        demand.most_at_once = max(demand.most_at_once, in_use + waiting)
        limit = min(self.max_stacks or usual_limit(), demand.most or usual_limit())
        return demand.copies_wanted(at_once=max(1, in_use + waiting), limit=limit)

    def keep_spares(self, key: str) -> None:
        """Start another copy if one pays off and none is about to become usable."""
        wanted = self.copies_wanted(key)
        pending = any(copy.state is State.STARTING for copy in self.copies) or any(
            copy.state is State.UNSEEDED for copy in self.of(key)
        )
        if len(self.of(key)) < wanted and not pending:
            self.grow(key)

    def grow_if_needed(self, waiter: Waiter) -> None:
        """Start a copy for a waiter, unless waiting is faster."""
        copies, demand = self.of(waiter.key), self.demand[waiter.key]
        overdue = demand.is_overdue(time.monotonic() - waiter.since_s)
        waiting_is_faster = any(copy.awaited for copy in copies) or not overdue
        if copies and waiting_is_faster and not is_stuck(self.copies, self.waiters):
            self.keep_spares(waiter.key)
        else:
            self.grow(waiter.key)

    def grow_for_sticky(self, waiter: Waiter) -> None:
        """Start a copy for a process that has none of its own; else let it take over another's."""
        copies = self.of(waiter.key)
        if kept_for(copies, waiter.client) or any(copy.coming for copy in copies):
            return
        self.grow(waiter.key)
        if len(self.of(waiter.key)) == len(copies):
            for copy in copies:
                copy.kept_for = "" if copy.idle else copy.kept_for

    def grow(self, key: str) -> None:
        """Start another copy, if there is room or an unused copy of another stack can go."""
        factory = self.factories[key]
        if factory.sole and self.of(key):
            factory.options.advice.sole(factory.name, factory.sole)
            return
        if (
            not self._has_room(key)
            and not self._evict_idle(key)
            and not is_stuck(self.copies, self.waiters)
        ):
            return
        stack = factory.new()
        copy = Copy(key, stack, factory.baseline(stack), former=self._former(factory))
        if copy.baseline.stays:
            self.demand[key].expect_reset(_IN_PLACE_S)
        self.copies.append(copy)
        self.start(copy)

    def _former(self, factory: Factory) -> tuple[Copy, ...]:
        """Take out the unused copies of earlier versions of a stack that can have one copy only."""
        former = [
            copy
            for copy in self.copies
            if copy.idle and factory.sole and self.factories[copy.key].name == factory.name
        ]
        for copy in former:
            self.copies.remove(copy)
        return tuple(former)

    def _has_room(self, key: str) -> bool:
        if self.max_stacks and len(self.copies) >= self.max_stacks:
            return False
        # Always try the first one: an engine that lacks memory says so itself.
        if not self.copies:
            return True
        most = self.demand[key].most
        if most is not None and len(self.of(key)) >= most:
            return False
        factory = self.factories[key]
        limit = factory.options.settings.max_memory
        used = sum(self.factories[copy.key].memory_bytes for copy in self.copies)
        if limit and used + factory.memory_bytes > limit:
            factory.options.advice.no_memory(factory.name, factory.memory_bytes, limit)
            return False
        return available_bytes() >= factory.memory_bytes

    def _evict_idle(self, key: str) -> bool:
        """Remove an unused copy of another stack to make room; return whether there was one."""
        wanted = {waiter.key for waiter in self.waiters}
        for copy in self.copies:
            if copy.key != key and copy.idle and copy.key not in wanted:
                self.evict(copy)
                return True
        return False

    def shrink(self, copy: Copy) -> bool:
        """Have one copy less of a stack, whose copies took more memory than the host has.

        Returns:
            Whether this copy can go: there is another one.
        """
        others = len(self.of(copy.key)) - 1
        self.demand[copy.key].most = max(1, others)
        factory = self.factories[copy.key]
        factory.options.advice.ran_out_of_memory(factory.name, max(1, others))
        return others > 0

    def supersede(self, key: str) -> None:
        """Remove the unused copies of earlier versions of a stack, whose files have changed."""
        name = self.factories[key].name
        wanted = {key, *(waiter.key for waiter in self.waiters)}
        for copy in [copy for copy in self.copies if copy.key not in wanted]:
            if copy.idle and self.factories[copy.key].name == name:
                self.evict(copy)

    def evict(self, copy: Copy) -> None:
        """Remove a copy that nobody holds."""
        self.copies.remove(copy)
        self.discard(copy)

    def start_spares(self) -> None:
        """Start the spares that hide resets from the next run."""
        for key, demand in self.demand.items():
            limit = min(self.max_stacks or usual_limit(), demand.most or usual_limit())
            wanted = demand.idle_copies_wanted(limit=limit)
            copies = self.of(key)
            if any(copy.state is not State.STARTING for copy in copies):
                for _ in range(wanted - len(copies)):
                    self.grow(key)
            demand.given_exclusive = 0
