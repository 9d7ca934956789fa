"""How many copies of a stack are worth having (pure): what a start costs against what it saves."""

from __future__ import annotations

from dataclasses import dataclass

_SHORTEST_S = 0.02  # no test with a stack of its own comes back sooner
_NOTHING_S = 0.001
_WORTH = 0.5
"""A further copy is started where it saves tests at least this part of the time its start takes;
less than all of it, since starts happen beside the tests and tests wait in the foreground."""


@dataclass(slots=True)
class Pace:
    """How fast leases come and resets go, for one stack.

    Attributes:
        coming_exclusive: exclusive leases that are announced and were not given yet.
        most_at_once: how many wanted an exclusive lease at the same time, at most.
        start_s: how long the last start took, in seconds; None: none has ended, or it failed.
        reset_s: how long resets take, in seconds, smoothed; None: nobody knows.
        hold_s: how long exclusive leases last, in seconds, smoothed; None: none has ended.
    """

    coming_exclusive: int = 0
    most_at_once: int = 0
    start_s: float | None = None
    reset_s: float | None = None
    hold_s: float | None = None

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
        copies = 1
        while copies < most and self._saved_s(copies, at_once) >= _WORTH * self.start_s:
            copies += 1
        return copies

    def is_overdue(self, waited_s: float) -> bool:
        """Tell whether one who waits for a stack in use has waited so long that all this is wrong.

        Args:
            waited_s: how long, in seconds.
        """
        return waited_s >= (self.start_s or 0.0)

    def copies_at_rest(self, *, limit: int) -> int:
        """Return how many copies hide every reset, where nobody waits for their start.

        Resets are taken to last twice as long as usual: few do, and tests wait for those.

        Args:
            limit: more than this only crowd the cores.
        """
        at_once = self.most_at_once
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
