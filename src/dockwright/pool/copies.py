"""One copy in the pool and the states that it goes through.

starting ──► clean ◄──────────────┐
   │          │ ▲                 │
   │          ▼ │ last one leaves │ reset done
   │        shared                │
   │          exclusive ──► resetting ──► (failed) gone
   └► (failed) gone   └──► kept
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from dockwright.stack import Baseline, Stack


class State(enum.Enum):
    """What a copy is doing."""

    STARTING = "starting"
    CLEAN = "clean"
    SHARED = "shared"
    EXCLUSIVE = "exclusive"
    RESETTING = "resetting"
    KEPT = "kept"


@dataclass(slots=True, eq=False)
class Copy:
    """One copy of a stack in the pool; guarded by the pool's lock."""

    name: str
    stack: Stack
    baseline: Baseline
    state: State = State.STARTING
    holders: set[str] = field(default_factory=set)

    def admits(self, *, exclusive: bool) -> bool:
        """Tell whether a new lease may have this copy now."""
        if self.state is State.CLEAN:
            return True
        return self.state is State.SHARED and not exclusive

    def enter(self, holder: str, *, exclusive: bool) -> None:
        """Begin a lease."""
        self.state = State.EXCLUSIVE if exclusive else State.SHARED
        self.holders.add(holder)

    def leave(self, holder: str) -> None:
        """End a lease; an exclusive one leaves the copy dirty."""
        self.holders.discard(holder)
        if self.state is State.EXCLUSIVE:
            self.state = State.RESETTING
        elif not self.holders:
            self.state = State.CLEAN
