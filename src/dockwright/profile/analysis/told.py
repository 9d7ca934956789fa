"""What the engine told while something went on: its events, found by their time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection

from dockwright.profile.analysis.facts import EngineFacts, Happening

SLACK_S = 0.02
"""How far an event may lie outside the call that it belongs to: two clocks are compared."""


class Told:
    """The events of some actions, found by their time."""

    def __init__(self, facts: EngineFacts | None, actions: Collection[str]) -> None:
        happenings = facts.happenings if facts else ()
        self._events = [each for each in happenings if each.action in actions]
        self.complete = facts is not None and facts.complete

    def between(self, begin: float, end: float) -> list[Happening]:
        """Return those from `begin` to `end`."""
        first = bisect_left(self._events, begin, key=lambda each: each.at_s)
        last = bisect_right(self._events, end, key=lambda each: each.at_s)
        return self._events[first:last]
