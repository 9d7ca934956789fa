"""What a measure hands back: rows of medians and ratios, each with its spread and its target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A typical value with the range that it comes from.

    Attributes:
        median: the typical value (of a percentile row: the percentile).
        low: the lowest that was measured.
        high: the highest that was measured.
        count: how many were measured.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Sum up samples; there must be one at least."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples))


@dataclass(frozen=True, slots=True)
class Target:
    """What a row is to reach; exactly one of the limits is given."""

    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        """Tell whether `value` reaches it."""
        if self.at_most is not None:
            return value <= self.at_most
        return self.at_least is not None and value >= self.at_least


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        measure: the measure that it belongs to, as `--only` names it.
        what: what was measured.
        unit: of `ours` and `theirs`: s, ms, MB.
        ours: dockwright's own value.
        rival: what it is compared with; empty: nothing.
        theirs: the rival's value.
        ratio: how many times faster, or how many times the cost, as `is_speedup` says.
        is_speedup: the ratio is theirs over ours, not ours over theirs.
        target: for the ratio where there is one, else for `ours`; None: for information.
        note: what a reader has to know to read it right.
    """

    measure: str
    what: str
    unit: str
    ours: Spread
    rival: str = ""
    theirs: Spread | None = None
    ratio: Spread | None = None
    is_speedup: bool = False
    target: Target | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None: there is none."""
        if self.target is None:
            return None
        return self.target.is_met((self.ratio or self.ours).median)


def speedup(
    measure: str,
    what: str,
    ours: Sequence[float],
    rival: str,
    theirs: Sequence[float],
    *,
    at_least: float | None = None,
    note: str = "",
) -> Row:
    """Return how many times faster than a rival we are; samples in seconds, taken alternately."""
    return Row(
        measure,
        what,
        "s",
        Spread.of(ours),
        rival,
        Spread.of(theirs),
        _ratio(theirs, ours),
        is_speedup=True,
        target=None if at_least is None else Target(at_least=at_least),
        note=note,
    )


def cost(
    measure: str,
    what: str,
    ours: Sequence[float],
    rival: str,
    theirs: Sequence[float],
    *,
    unit: str = "s",
    at_most: float | None = None,
    note: str = "",
) -> Row:
    """Return how many times the cost of something else ours is; samples taken alternately."""
    return Row(
        measure,
        what,
        unit,
        Spread.of(ours),
        rival,
        Spread.of(theirs),
        _ratio(ours, theirs),
        target=None if at_most is None else Target(at_most=at_most),
        note=note,
    )


def value(
    measure: str,
    what: str,
    unit: str,
    samples: Sequence[float],
    *,
    at_most: float | None = None,
    note: str = "",
) -> Row:
    """Return a value of our own, by its median."""
    target = None if at_most is None else Target(at_most=at_most)
    return Row(measure, what, unit, Spread.of(samples), target=target, note=note)


def percentile(
    measure: str,
    what: str,
    unit: str,
    samples: Sequence[float],
    *,
    percent: int,
    at_most: float | None = None,
    note: str = "",
) -> Row:
    """Return a percentile of our own values."""
    found = percentile_of(samples, percent)
    target = None if at_most is None else Target(at_most=at_most)
    spread = Spread(found, min(samples), max(samples), len(samples))
    return Row(measure, f"{what}, p{percent}", unit, spread, target=target, note=note)


def percentile_of(samples: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated between neighbours; one sample is all of its own."""
    if len(samples) == 1:
        return samples[0]
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def _ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the ratio of the medians, with the range of the ratios of pairs taken together."""
    pairs = [first / second for first, second in zip(above, below, strict=False)]
    middle = statistics.median(above) / statistics.median(below)
    return Spread(middle, min(pairs), max(pairs), len(pairs))
