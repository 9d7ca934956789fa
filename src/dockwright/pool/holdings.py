"""Which copies there are: when another one is started, and which one gives way.

The pool's lock is held by whoever calls. What takes time happens in the pool's own threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dockwright.pool.capacity import available_bytes, usual_limit
from dockwright.pool.choice import Waiter, is_stuck
from dockwright.pool.copies import Copy, State
from dockwright.pool.factory import Factory
from dockwright.pool.policy import Pace
from dockwright.stack import Stack

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
    pace: dict[str, Pace] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)

    def declare(self, key: str, factory: Factory) -> None:
        """Make a stack known; nothing is started."""
        self.factories[key] = factory
        self.pace[key] = Pace()

    def of(self, key: str) -> list[Copy]:
        """Return the copies of one declared stack."""
        return [copy for copy in self.copies if copy.key == key]

    def copy_of(self, stack: Stack) -> Copy | None:
        """Return the copy that a stack is; None: it is no longer held."""
        return next((copy for copy in self.copies if copy.stack is stack), None)

    def keep_spares(self, key: str) -> None:
        """Have more copies started where leases come faster than resets."""
        in_use = sum(copy.state is State.EXCLUSIVE for copy in self.of(key))
        waiting = sum(waiter.key == key and waiter.exclusive for waiter in self.waiters)
        limit = self.max_stacks or usual_limit()
        pace = self.pace[key]
        pace.most_at_once = max(pace.most_at_once, in_use + waiting)
        wanted = pace.copies_wanted(at_once=max(1, in_use + waiting), limit=limit)
        starting = any(copy.state is State.STARTING for copy in self.copies)
        if len(self.of(key)) < wanted and not starting:
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
