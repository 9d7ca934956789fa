"""One copy in the pool and the states that it goes through.

starting ──► unseeded ──► seeding ──► starting, where a suite has a seed of its own
starting ──► clean ◄──────────────┐
   │          │ ▲                 │
   │          ▼ │ last one leaves │ reset done
   │        shared                │
   │          exclusive ──► resetting ──► (failed) gone
   └► (failed) gone   └──► kept
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from dockwright.model import Json
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
        baseline: what it is brought back to.
        state: what it is doing.
        holders: who holds it.
        disturbed: whether a container started, stopped or paused that we did not touch.
        start: how it was started.
        since_s: when it came into its state, on the monotonic clock.
        made_s: when it came into being, on the monotonic clock.
        former: copies that are removed before this one starts, because it needs what they hold.
    """

    key: str
    stack: Stack
    baseline: Baseline
    state: State = State.STARTING
    holders: set[str] = field(default_factory=set)
    disturbed: bool = False
    start: CachedStart | None = None
    since_s: float = field(default_factory=time.monotonic)
    made_s: float = field(default_factory=time.monotonic)
    former: tuple[Copy, ...] = ()

    def admits(self, *, exclusive: bool) -> bool:
        """Tell whether a new lease may have this copy now."""
        if self.disturbed:
            return False
        return self.state is State.CLEAN or (self.state is State.SHARED and not exclusive)

    def enter(self, holder: str, *, exclusive: bool) -> None:
        """Begin a lease."""
        self.become(State.EXCLUSIVE if exclusive else State.SHARED)
        self.holders.add(holder)

    def leave(self, holder: str) -> None:
        """End a lease; the last reader leaves a clean copy, unless somebody disturbed it."""
        self.holders.discard(holder)
        if self.state is State.EXCLUSIVE or (self.disturbed and not self.holders):
            self.become(State.RESETTING)
        elif not self.holders:
            self.become(State.CLEAN)

    def become(self, state: State) -> None:
        """Change state."""
        self.state = state
        self.since_s = time.monotonic()

    @property
    def coming(self) -> bool:
        """Whether it gets clean by itself."""
        return self.state in (State.STARTING, State.SEEDING, State.RESETTING)

    @property
    def idle(self) -> bool:
        """Whether nobody has it and nothing happens to it."""
        return self.state in (State.CLEAN, State.UNSEEDED)


def described(copy: Copy) -> dict[str, Json]:
    """Return what a person wants to know of a copy: project, stack, state, holders, since when."""
    return {
        "project": copy.stack.identity.project,
        "stack": copy.stack.identity.ownership.stack,
        "state": copy.state.value,
        "holders": [*sorted(copy.holders)],
        "for_s": round(time.monotonic() - copy.since_s, 1),
        "age_s": round(time.time() - copy.stack.identity.ownership.created, 1),
    }
