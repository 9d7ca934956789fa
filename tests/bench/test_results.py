"""Rows: medians, ratios with the spread of pairs, and targets."""

import pytest
from bench.results import Spread, Target, cost, percentile, percentile_of, speedup, value


def test_a_spread_is_the_median_with_the_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)


def test_a_speedup_is_how_many_times_faster_we_are() -> None:
    row = speedup("start", "x", [1.0, 2.0, 2.0], "rival", [8.0, 8.0, 10.0], at_least=4.0)
    assert row.ratio == Spread(4.0, 4.0, 8.0, 3)
    assert row.is_met is True


def test_a_cost_is_how_many_times_the_rivals_ours_is() -> None:
    row = cost("teardown", "x", [1.2, 1.2], "bare", [1.0, 0.8], at_most=1.2)
    assert row.ratio is not None
    assert row.ratio.median == pytest.approx(1.2 / 0.9)
    assert (row.ratio.low, row.ratio.high) == pytest.approx((1.2, 1.5))
    assert row.is_met is False


def test_pairs_without_a_partner_count_for_the_medians_only() -> None:
    row = speedup("start", "x", [1.0, 1.0, 4.0], "rival", [8.0])
    assert row.ratio == Spread(8.0, 8.0, 8.0, 1)


def test_a_value_of_its_own_is_held_against_the_target() -> None:
    assert value("plugin", "x", "ms", [30.0, 10.0, 12.0], at_most=20).is_met is True
    assert value("plugin", "x", "ms", [30.0, 30.0, 12.0], at_most=20).is_met is False
    assert value("plugin", "x", "ms", [30.0]).is_met is None


def test_a_percentile_row_is_held_against_the_percentile() -> None:
    row = percentile("detection", "x", "ms", [float(n) for n in range(101)], percent=99, at_most=60)
    assert row.ours == Spread(99.0, 0.0, 100.0, 101)
    assert row.what == "x, p99"
    assert row.is_met is False


def test_percentiles_are_interpolated() -> None:
    assert percentile_of([0.0, 10.0], 50) == pytest.approx(5.0)
    assert percentile_of([7.0], 99) == 7.0


@pytest.mark.parametrize(
    ("target", "reached", "missed"),
    [(Target(at_most=2.0), 2.0, 2.1), (Target(at_least=3.0), 3.0, 2.9)],
)
def test_a_target_includes_its_limit(target: Target, reached: float, missed: float) -> None:
    assert target.is_met(reached)
    assert not target.is_met(missed)
