"""The rank test, the search for a change point, and the false discovery rate."""

from __future__ import annotations

import itertools
import random

import pytest

from dockwright.history import statistics as under_test
from dockwright.history.statistics import (
    accepted,
    adjusted,
    begin_of_change,
    chance_of_growth,
    scale,
)


@pytest.mark.parametrize(("ones", "others"), [(1, 4), (3, 5), (4, 4), (5, 3)])
def test_the_rank_test_is_exact(ones: int, others: int) -> None:
    everything = range(1, ones + others + 1)
    sums = [sum(c) - ones * (ones + 1) / 2 for c in itertools.combinations(everything, ones)]
    for statistic in range(ones * others + 1):
        expected = sum(each >= statistic for each in sums) / len(sums)
        tail = under_test._upper_tail(statistic, ones, others)
        assert tail == pytest.approx(expected), statistic


def test_large_samples_use_the_normal_approximation() -> None:
    # where both are at hand, they agree; the approximation is the more careful one in the tail
    exact = under_test._cumulated(11, 20)
    for statistic, tolerance in ((130, 0.02), (150, 0.05), (170, 0.2)):
        assert under_test._upper_tail(statistic, 11, 20) == pytest.approx(
            exact[220 - statistic], rel=tolerance
        )
    assert under_test._upper_tail(190, 11, 20) >= exact[30]


def test_equal_values_share_their_rank() -> None:
    assert under_test._ranks([2.0, 1.0, 2.0, 5.0]) == [2.5, 1.0, 2.5, 4.0]


def test_a_change_is_found_where_it_is() -> None:
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01, 0.99, 1.03] * 2
    values += [1.5, 1.4, 1.6, 1.55, 1.45]
    chance = chance_of_growth(values)
    assert chance is not None
    assert chance < 0.001
    assert begin_of_change(values) == 20


def test_a_decrease_is_not_an_increase() -> None:
    assert chance_of_growth([2.0 + number / 100 for number in range(10)] + [1.0] * 6) == 1.0


def test_a_series_that_is_too_short_has_no_probability() -> None:
    assert chance_of_growth([1.0] * 7) is None
    assert chance_of_growth([1.0] * 8) is not None


def test_chance_finds_less_than_it_claims() -> None:
    dice = random.Random(5)
    found = [chance_of_growth([dice.random() for _ in range(30)]) or 0.0 for _ in range(600)]
    for level in (0.01, 0.05, 0.2):
        assert sum(each <= level for each in found) <= 1.3 * level * 600


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    # the example of their paper (1995, section 3.2), of which four are rejected at 5 %
    paper = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298),
        *(0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
    ]
    assert [p for p, _ in accepted(paper, lambda p: p, 0.05)] == paper[:4]
    assert adjusted([0.01, 0.04]) == [0.02, 0.04]
    assert adjusted([]) == []


def test_outliers_do_not_change_the_spread() -> None:
    assert scale([1.0, 2.0, 3.0, 4.0, 1000.0]) == pytest.approx(1.4826)
