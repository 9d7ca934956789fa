"""What a pool tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dockwright.model import Json


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool did so far, and what it holds now.

    Attributes:
        started: stacks that became ready.
        resets: dirty stacks that came back clean.
        replaced: stacks that were given up because a reset failed.
        leases: leases that were given.
        engine_calls: calls that were made to the engine.
        stacks: for each stack that exists: its project name, stack, state and holders.
    """

    started: int
    resets: int
    replaced: int
    leases: int
    engine_calls: int
    stacks: tuple[Mapping[str, Json], ...] = ()


class Teller:
    """Tells counts once."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()

    def news(self, now: PoolStatistics) -> dict[str, int]:
        """Return by how much each count has grown since the last call."""
        names = ("started", "resets", "replaced", "leases", "engine_calls")
        totals = Counter({name: getattr(now, name) for name in names})
        news = {name: totals[name] - self._told[name] for name in names}
        self._told = totals
        return news
