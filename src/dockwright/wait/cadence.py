"""How long to pause between two checks: in proportion to the time waited, within bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cadence:
    """The pauses of a wait, so that it ends at most `share` late and does not burn a processor.

    Args:
        first_s: the shortest pause, in seconds.
        ceiling_s: the longest pause, in seconds.
        share: the pause as a part of the time waited so far.
    """

    first_s: float = 0.020
    ceiling_s: float = 0.250
    share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.ceiling_s < math.inf:
            raise ValueError(
                f"a cadence needs 0 < first_s <= ceiling_s, not {self.first_s} and {self.ceiling_s}"
            )
        if not 0 <= self.share <= 1:
            raise ValueError(f"a cadence's share is between 0 and 1, not {self.share}")

    def pause_s(self, elapsed_s: float, *, cost_s: float = 0.0) -> float:
        """Return how long to pause, in seconds.

        Args:
            elapsed_s: how long it was waited so far, in seconds.
            cost_s: how long the last check took: the pause is as long, up to the ceiling, so that
                an expensive check keeps a processor at most half busy.
        """
        return min(max(self.first_s, self.share * elapsed_s, cost_s), self.ceiling_s)
