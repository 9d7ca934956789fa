"""How many copies to keep: measured demand, and the policy that follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dockwright.pool.copies import Copy, State, Waiter, is_stuck
from dockwright.pool.factory import Factory, available_bytes, usual_limit
from dockwright.stack import Stack

_SHORTEST_S = 0.02  # no test with a stack of its own comes back sooner
_NOTHING_S = 0.001
_WORTH = 0.5
"""A further copy is started where it saves tests at least this part of the time its start takes;
less than all of it, since starts happen beside the tests and tests wait in the foreground."""


@dataclass(slots=True)
class DemandEstimate:
    """How fast leases come and resets go, for one stack.

    Attributes:
        coming_exclusive: exclusive leases that are announced and were not given yet.
        given_exclusive: exclusive leases that were given since the pool was last at rest.
        most_at_once: how many wanted an exclusive lease at the same time, at most.
        start_s: how long the last start took, in seconds; None: none has ended, or it failed.
        seed_s: how long the last seed of a new copy took, in seconds; 0: there was none.
        reset_s: how long resets take, in seconds, smoothed; None: nobody knows.
        hold_s: how long exclusive leases last, in seconds, smoothed; None: none has ended.
    """

    coming_exclusive: int = 0
    given_exclusive: int = 0
    most_at_once: int = 0
    start_s: float | None = None
    seed_s: float = 0.0
    reset_s: float | None = None
    hold_s: float | None = None

    def note_lease(self) -> None:
        """Take in that an exclusive lease was given."""
        self.coming_exclusive = max(0, self.coming_exclusive - 1)
        self.given_exclusive += 1

    def note_start(self, seconds: float) -> None:
        """Take in how long a start took."""
        self.start_s = seconds

    def expect_reset(self, seconds: float) -> None:
        """Take in how long a reset will probably take, as long as none has told."""
        if self.reset_s is None:
            self.reset_s = seconds

    def note_reset(self, seconds: float) -> None:
        """Take in how long a reset took."""
        self.reset_s = _smoothed(self.reset_s, seconds)

    def note_hold(self, seconds: float) -> None:
        """Take in how long an exclusive lease lasted."""
        self.hold_s = _smoothed(self.hold_s, seconds)

    def copies_wanted(self, *, at_once: int, limit: int) -> int:
        """Return how many copies pay off.

        Args:
            at_once: how many want a stack to themselves at the same time.
            limit: more than this only crowd the cores.
        """
        if self.start_s is None or self.coming_exclusive == 0:
            return 1
        # Before the first reset nobody knows its price: one spare is all that is ventured.
        most = limit if self.reset_s is not None else min(limit, 2)
        cost_s = _WORTH * self.start_s + self.seed_s  # a test waits while it seeds
        copies = 1
        while copies < most and self._saved_s(copies, at_once) >= cost_s:
            copies += 1
        return copies

    def is_overdue(self, waited_s: float) -> bool:
        """Tell whether one who waits for a stack in use has waited so long that all this is wrong.

        Args:
            waited_s: how long, in seconds.
        """
        return waited_s >= (self.start_s or 0.0)

    def copies_at_rest(self, *, limit: int) -> int:
        """Return how many copies hide every reset of another run like the last one.

        Nobody waits for their start. Resets are taken to last twice as long as usual: few do, and
        tests wait for those. A run does not use more copies than it has exclusive leases.

        Args:
            limit: more than this only crowd the cores.
        """
        at_once = self.most_at_once
        limit = min(limit, self.given_exclusive)
        if not at_once:
            return 0
        copies = at_once + 1
        while copies < limit and self._wait_s(copies, at_once, slower=2.0) > _NOTHING_S:
            copies += 1
        return min(copies, limit)

    def _saved_s(self, copies: int, at_once: int) -> float:
        """Return how much sooner all will be done with one more than `copies`, in seconds."""
        less_s = self._wait_s(copies, at_once) - self._wait_s(copies + 1, at_once)
        return self.coming_exclusive / at_once * less_s

    def _wait_s(self, copies: int, at_once: int, *, slower: float = 1.0) -> float:
        """Return how long each lease waits where the copies go round.

        A copy serves one lease in the time of a lease and a reset.
        """
        reset_s = self.reset_s if self.reset_s is not None else self.start_s or 0.0
        hold_s = max(_SHORTEST_S, self.hold_s or 0.0)
        return max(0.0, at_once * (hold_s + slower * reset_s) / copies - hold_s)


def _smoothed(before: float | None, now: float) -> float:
    return now if before is None else 0.7 * before + 0.3 * now


_IN_PLACE_S = 0.05  # a reset that replaces nothing; the first one tells better


@dataclass(slots=True, eq=False)
class Holdings:
    """The copies that exist now, of all declared stacks, and who waits for one.

    Attributes:
        max_stacks: how many copies may exist at once; 0: as many as pay off and memory allows.
        start: starts a new copy, in the background.
        discard: removes a copy that nobody has, in the background.
        factories: what makes copies, for each declared stack.
        pace: how fast leases come and resets go, for each declared stack.
        copies: the copies.
        waiters: who waits for one.
    """

    max_stacks: int
    start: Callable[[Copy], object]
    discard: Callable[[Copy], object]
    factories: dict[str, Factory] = field(default_factory=dict)
    pace: dict[str, DemandEstimate] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)

    def declare(self, key: str, factory: Factory) -> None:
        """Make a stack known; nothing is started."""
        self.factories[key] = factory
        self.pace[key] = DemandEstimate()

    def of(self, key: str) -> list[Copy]:
        """Return the copies of one declared stack."""
        return [copy for copy in self.copies if copy.key == key]

    def copy_of(self, stack: Stack) -> Copy | None:
        """Return the copy that a stack is; None: it is no longer held."""
        return next((copy for copy in self.copies if copy.stack is stack), None)

    def copies_wanted(self, key: str) -> int:
        """Return how many copies of a stack pay off now."""
        in_use = sum(copy.state is State.EXCLUSIVE for copy in self.of(key))
        waiting = sum(waiter.key == key and waiter.exclusive for waiter in self.waiters)
        pace = self.pace[key]
        pace.most_at_once = max(pace.most_at_once, in_use + waiting)
        limit = self.max_stacks or usual_limit()
        return pace.copies_wanted(at_once=max(1, in_use + waiting), limit=limit)

    def keep_spares(self, key: str) -> None:
        """Have more copies started where leases come faster than resets, one after the other."""
        wanted = self.copies_wanted(key)
        pending = any(copy.state is State.STARTING for copy in self.copies) or any(
            copy.state is State.UNSEEDED for copy in self.of(key)
        )
        if len(self.of(key)) < wanted and not pending:
            self.grow(key)

    def grow_if_needed(self, waiter: Waiter) -> None:
        """Have a copy started for one who waits, unless waiting on is sooner."""
        mine, pace = self.of(waiter.key), self.pace[waiter.key]
        overdue = pace.is_overdue(time.monotonic() - waiter.since_s)
        sooner = any(copy.coming for copy in mine) or not overdue
        if mine and sooner and not is_stuck(self.copies, self.waiters):
            self.keep_spares(waiter.key)
        else:
            self.grow(waiter.key)

    def grow(self, key: str) -> None:
        """Have another copy started, if there is room or an idle one of another key gives way."""
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
            self.pace[key].expect_reset(_IN_PLACE_S)
        self.copies.append(copy)
        self.start(copy)

    def _former(self, factory: Factory) -> tuple[Copy, ...]:
        """Give up the idle copies of a stack as it was declared before, if it can be there once."""
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
        # The first one is always tried: an engine that lacks memory says so itself.
        return not self.copies or available_bytes() >= self.factories[key].memory_bytes

    def _evict_idle(self, key: str) -> bool:
        """Give up an idle stack of another key, so that one of this key has room."""
        wanted = {waiter.key for waiter in self.waiters}
        for copy in self.copies:
            if copy.key != key and copy.idle and copy.key not in wanted:
                self.evict(copy)
                return True
        return False

    def supersede(self, key: str) -> None:
        """Give up the idle copies of a stack's other versions: its files have changed since."""
        name = self.factories[key].name
        wanted = {key, *(waiter.key for waiter in self.waiters)}
        for copy in [each for each in self.copies if each.key not in wanted]:
            if copy.idle and self.factories[copy.key].name == name:
                self.evict(copy)

    def evict(self, copy: Copy) -> None:
        """Give up a copy that nobody has."""
        self.copies.remove(copy)
        self.discard(copy)

    def rest(self) -> None:
        """Use a time in which nobody wants a stack: start spares, which hide resets."""
        for key, pace in self.pace.items():
            wanted = pace.copies_at_rest(limit=self.max_stacks or usual_limit())
            copies = self.of(key)
            if any(copy.state is not State.STARTING for copy in copies):
                for _ in range(wanted - len(copies)):
                    self.grow(key)
            pace.given_exclusive = 0
