"""Rank tests, change points, false discovery rate: what decides that a change is real.

The tests are distribution-free: durations have long tails and outliers, which a t-test takes for
changes. Sources: Mann and Whitney (1947) for the rank test and its exact distribution; Pettitt
(1979) for the search of a change point by ranks; Benjamini and Hochberg (1995) for many tests at
once; Bourgon, Gentleman and Huber (2010) for the filter before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from statistics import median
from typing import TypeVar

_T = TypeVar("_T")

FEWEST_BEFORE, FEWEST_AFTER = 5, 3
"""Runs before and after a change; with fewer of them no rank test can be certain."""

_EXACT = 10
"""Up to this many values on one side the exact distribution is computed."""

_MAD_TO_SIGMA = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""


def chance_of_growth(values: Sequence[float]) -> float | None:
    """Return the probability that values become larger near the end, as they do, by chance.

    Each split into values before and after is judged by the rank test. The lowest probability of
    the splits on a grid is multiplied by their number (Bonferroni), because it was searched for.

    Returns:
        None if there are too few values.
    """
    count = len(values)
    if count < FEWEST_BEFORE + FEWEST_AFTER:
        return None
    ranks = _ranks(values)
    grid = _grid(count - FEWEST_BEFORE)
    tails = (
        _upper_tail(sum(ranks[count - after :]) - after * (after + 1) / 2, after, count - after)
        for after in grid
    )
    return min(1.0, len(grid) * min(tails))


def begin_of_change(values: Sequence[float]) -> int:
    """Return the index at which values became larger: the split with the least deviations."""
    splits = range(FEWEST_BEFORE, len(values) - FEWEST_AFTER + 1)
    return min(splits, key=lambda at: _deviations(values[:at]) + _deviations(values[at:]))


def _deviations(values: Sequence[float]) -> float:
    middle = median(values)
    return sum(abs(value - middle) for value in values)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            ranks[place] = (begin + end + 1) / 2
        begin = end
    return ranks


def _grid(most: int) -> list[int]:
    """Return the lengths that are tried: each two fifths longer than the one before."""
    found, length = [], FEWEST_AFTER
    while length <= most:
        found.append(length)
        length = max(length + 1, math.ceil(length * 1.4))
    return found


def _upper_tail(statistic: float, ones: int, others: int) -> float:
    """Return the probability of a rank-sum statistic (U of Mann and Whitney) or a larger one."""
    if min(ones, others) <= _EXACT:
        below = math.floor(ones * others - statistic)  # the distribution is symmetric
        return _cumulated(min(ones, others), max(ones, others))[max(0, below)]
    sigma = math.sqrt(ones * others * (ones + others + 1) / 12)
    z = (statistic - ones * others / 2 - 0.5) / sigma
    return 0.5 * math.erfc(z / math.sqrt(2))


@lru_cache(maxsize=4096)
def _cumulated(few: int, many: int) -> Sequence[float]:
    """Return P(U <= u) by u: the coefficients of a Gaussian binomial, cumulated."""
    top = few * many
    counts = [1] + [0] * top
    for step in range(1, few + 1):
        for place in range(top, many + step - 1, -1):
            counts[place] -= counts[place - many - step]
        for place in range(step, top + 1):
            counts[place] += counts[place - step]
    whole, found, total = math.comb(few + many, few), [], 0
    for count in counts:
        total += count
        found.append(total / whole)
    return found


def adjusted(probabilities: Sequence[float]) -> list[float]:
    """Return q-values: the false discovery rate at which each finding is still accepted."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    found, lowest = [1.0] * len(probabilities), 1.0
    for place, index in enumerate(order):
        rank = len(probabilities) - place
        lowest = min(lowest, probabilities[index] * len(probabilities) / rank)
        found[index] = lowest
    return found


def accepted(
    candidates: Iterable[_T], probability: Callable[[_T], float], rate: float
) -> list[tuple[_T, float]]:
    """Return the candidates whose q-value is at most `rate`, with their q-values."""
    all_of_them = list(candidates)
    values = adjusted([probability(each) for each in all_of_them])
    return [(each, q) for each, q in zip(all_of_them, values, strict=True) if q <= rate]


def scale(values: Sequence[float]) -> float:
    """Return the spread of values as a standard deviation that outliers do not change."""
    middle = median(values)
    return _MAD_TO_SIGMA * median(abs(value - middle) for value in values)
