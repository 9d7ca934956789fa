"""One copy in the pool, its states, and the choice of a copy for a lease.

starting ──► unseeded ──► seeding ──► starting, where a suite has a seed of its own
starting ──► clean ◄──────────────┐
   │          │ ▲                 │
   │          ▼ │ last one leaves │ reset done
   │        shared                │
   │          exclusive ──► resetting ──► (failed) gone
   │
   │        A clean copy that was shared is unproven: it is checked, by a reset that replaces
   │        nothing needlessly, before its next exclusive lease or when it is idle. Likewise, one
   │        with services in doubt gets new containers before a lease that nobody repeats.
   └► (failed) gone   └──► kept
"""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dockwright.errors import LeaseError
from dockwright.model import Json, Requirement, Trace
from dockwright.stack import Baseline, CachedStart, Stack


class State(enum.Enum):
    """What a copy is doing."""

    STARTING = "starting"
    UNSEEDED = "unseeded"
    SEEDING = "seeding"
    CLEAN = "clean"
    SHARED = "shared"
    EXCLUSIVE = "exclusive"
    RESETTING = "resetting"
    KEPT = "kept"


@dataclass(slots=True, eq=False)
class Copy:
    """One copy of a stack in the pool; guarded by the pool's lock.

    Attributes:
        key: which declared stack, with the hash of its content.
        stack: the stack itself.
        baseline: the state that resets bring it back to.
        state: what it is doing.
        holders: who holds it.
        changed_outside: whether a container started, stopped or paused without the pool's doing.
        checks: how many looks at its containers are under way; it is not leased meanwhile.
        start: how it was started.
        since_s: when it got its state, on the monotonic clock.
        made_s: when it was created, on the monotonic clock.
        kept_for: the process whose sticky leases get this copy; empty: none.
        lost: the units whose clients the last reset has cut off, until its next holder knows;
            None: there was no reset.
        former: copies that are removed before this one starts, because it needs their resources.
        shared_by: who has shared it since it was last known to be at its baseline.
        audited: whether its lease is looked at by itself, or was.
        watched: whether an audit has watched it while nobody used it.
        habits: how often the stack was seen to change something while nobody used it.
        wrote_itself: whether a service wrote something during an audited lease that only a reset
            brings back.
        repeatable: whether its last exclusive holder repeats what fails.
    """

    key: str
    stack: Stack
    baseline: Baseline
    state: State = State.STARTING
    holders: set[str] = field(default_factory=set)
    changed_outside: bool = False
    checks: int = 0
    start: CachedStart | None = None
    since_s: float = field(default_factory=time.monotonic)
    made_s: float = field(default_factory=time.monotonic)
    kept_for: str = ""
    lost: tuple[str, ...] | None = None
    former: tuple[Copy, ...] = ()
    shared_by: list[str] = field(default_factory=list)
    audited: bool = False
    watched: bool = False
    habits: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    wrote_itself: bool = False
    repeatable: bool = False

    def does_by_itself(self, trace: Trace, *, often: int) -> bool:
        """Return whether it was seen to do this so often while nobody used it.

        What a strategy cannot name (rows, keys, data) may be something else each time.
        """
        named = bool(trace.name) or trace.kind == "connection"
        return named and self.habits[trace.place] >= often

    def admits(self, *, exclusive: bool, repeatable: bool = False) -> bool:
        """Return whether this copy can be leased now."""
        if self.changed_outside or self.checks or (self.doubted and not repeatable):
            return False
        if exclusive:
            return self.state is State.CLEAN and not self.shared_by
        return self.state in (State.CLEAN, State.SHARED)

    def enter(self, requirement: Requirement) -> None:
        """Begin a lease."""
        self.become(State.EXCLUSIVE if requirement.alone else State.SHARED)
        self.holders.add(requirement.holder)
        self.repeatable, self.audited = requirement.repeatable, requirement.audited
        if not requirement.alone:
            self.shared_by.append(requirement.holder)

    def leave(self, holder: str) -> None:
        """End a lease; after the last shared one the copy is clean, unless it changed outside."""
        self.holders.discard(holder)
        if self.state is State.EXCLUSIVE or (self.changed_outside and not self.holders):
            self.become(State.RESETTING)
        elif not self.holders:
            self.become(State.CLEAN)

    def become(self, state: State) -> None:
        """Change state."""
        self.state = state
        self.since_s = time.monotonic()

    @property
    def unproven(self) -> bool:
        """Whether nobody uses it, and tests that shared it may have changed it all the same."""
        return self.state is State.CLEAN and bool(self.shared_by)

    @property
    def doubted(self) -> tuple[str, ...]:
        """The services in doubt: earlier tests may have left something in their memory."""
        return tuple(sorted(self.baseline.doubted))

    @property
    def coming(self) -> bool:
        """Whether it becomes clean by itself."""
        return self.state in (State.STARTING, State.SEEDING, State.RESETTING)

    @property
    def awaited(self) -> bool:
        """Whether it may be leased soon without anybody's doing."""
        return self.coming or self.checks > 0

    @property
    def idle(self) -> bool:
        """Whether nobody holds it and nothing is being done to it."""
        return self.state in (State.CLEAN, State.UNSEEDED)


def described(copy: Copy) -> dict[str, Json]:
    """Return project, stack, state, holders, ages and resets of a copy, as plain values."""
    known = copy.state not in (State.STARTING, State.UNSEEDED, State.SEEDING)
    resets = copy.baseline.resets if known else {}
    return {
        "project": copy.stack.identity.project,
        "stack": copy.stack.identity.ownership.stack,
        "state": copy.state.value,
        "holders": [*sorted(copy.holders)],
        "for_s": round(time.monotonic() - copy.since_s, 1),
        "age_s": round(time.time() - copy.stack.identity.ownership.created, 1),
        "services": {
            name: {
                "recognised": each.recognised,
                "reset": each.manner,
                "why": each.why,
                "may_stay": each.may_stay,
            }
            for name, each in resets.items()
        },
    }


@dataclass(slots=True, eq=False)
class Waiter:
    """A request for a copy that is not met yet.

    Attributes:
        key: which declared stack.
        exclusive: whether for an exclusive lease.
        client: the process that asks.
        sticky: whether it wants the copy that it had before.
        solitary: whether it also waits for audited leases of other copies: all copies share files
            of the host.
        repeatable: whether it takes a copy with services in doubt.
        since_s: when it asked, on the monotonic clock.
    """

    key: str
    exclusive: bool
    client: str
    sticky: bool = False
    solitary: bool = False
    repeatable: bool = False
    since_s: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, requirement: Requirement, client: str) -> Waiter:
        """Return the request of a client."""
        return cls(
            requirement.stack,
            requirement.alone,
            client,
            sticky=requirement.sticky,
            repeatable=requirement.repeatable,
        )

    def awaits_check(self, copy: Copy) -> bool:
        """Return whether a copy that nobody uses can be leased to it only after a check."""
        doubted = bool(copy.doubted) and copy.state is State.CLEAN and not self.repeatable
        return (copy.unproven and self.exclusive) or doubted


def client_of(holder: str) -> str:
    """Return the part of a holder's name that identifies its process."""
    return holder.partition(" ")[0]


def choose(copies: Sequence[Copy], waiter: Waiter, waiters: Sequence[Waiter]) -> Copy | None:
    """Return the copy that a waiter gets now; None: it has to wait.

    Args:
        copies: all copies of the stack.
        waiter: the waiter.
        waiters: all waiters.
    """
    if not waiter.exclusive and _writer_comes_first(copies, waiter, waiters):
        return None
    if waiter.solitary and any(copy.audited and copy.holders for copy in copies):
        return None
    if waiter.sticky:
        copies = kept_for(copies, waiter.client) or [copy for copy in copies if not copy.kept_for]
    asked = {"exclusive": waiter.exclusive, "repeatable": waiter.repeatable}
    admitting = [copy for copy in copies if copy.admits(**asked)]
    # Shared leases gather on one copy and leave the clean ones to exclusive leases. Those take the
    # copy that has been clean longest.
    return min(
        admitting, key=lambda copy: (copy.state is not State.SHARED, copy.since_s), default=None
    )


def kept_for(copies: Sequence[Copy], client: str) -> list[Copy]:
    """Return the copies that the sticky leases of a process get."""
    return [copy for copy in copies if copy.kept_for == client]


def to_seed(copies: Sequence[Copy], *, wanted: int) -> Copy | None:
    """Return a copy that its next user has to seed.

    Args:
        copies: all copies of the stack.
        wanted: how many usable copies pay off; a copy that becomes clean by itself counts.
    """
    coming = any(copy.coming for copy in copies)
    usable = sum(copy.state is not State.UNSEEDED for copy in copies)
    if coming and usable >= wanted:
        return None
    return next((copy for copy in copies if copy.state is State.UNSEEDED), None)


def _writer_comes_first(copies: Sequence[Copy], waiter: Waiter, waiters: Sequence[Waiter]) -> bool:
    """Return whether a request that cannot be met by sharing waits longer, and all are shared."""
    in_doubt = all(copy.doubted for copy in copies)
    older = any(
        (other.exclusive or (in_doubt and not other.repeatable))
        and other.key == waiter.key
        and other.since_s < waiter.since_s
        for other in waiters
    )
    return older and bool(copies) and all(copy.state is State.SHARED for copy in copies)


def is_stuck(copies: Sequence[Copy], waiters: Sequence[Waiter]) -> bool:
    """Return whether all clients that hold a copy wait for another one: a deadlock."""
    holding = {client_of(holder) for copy in copies for holder in copy.holders}
    waiting = {waiter.client for waiter in waiters}
    held = all(copy.holders and not copy.checks for copy in copies)
    return held and holding <= waiting


def still_taken(requirement: Requirement, copies: Sequence[Copy], sole: str = "") -> LeaseError:
    """Return the error for a wait that timed out, with the state of each copy.

    Args:
        requirement: what was asked for.
        copies: all copies of that stack.
        sole: why there can be only one copy; empty: there can be more.
    """
    states = ", ".join(f"{copy.stack.identity.project} is {copy.state.value}" for copy in copies)
    holders = ", ".join(sorted(holder for copy in copies for holder in copy.holders))
    return LeaseError(
        f"no stack {requirement.stack.partition('@')[0]!r} became free for {requirement.holder} "
        f"({states or 'none exists'}; held by: {holders or 'nobody'})",
        hint=f"there can be only one copy: {sole}"
        if sole
        else "raise dockwright_max_stacks or dockwright_start_timeout",
    )
