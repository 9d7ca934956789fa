"""What a slower machine adds to all tests of a run is taken out; what one test adds is not."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from bench.recorded_shop import series_of

from dockwright.history.measures import Measure, measures_of
from tests._support.history.records import Suite


def _values(tests: int, seconds: float, factors: list[float], noise: float) -> dict[int, float]:
    dice = random.Random(tests)
    return {
        at: seconds * factor * dice.lognormvariate(0, noise) for at, factor in enumerate(factors)
    }


def test_short_tests_do_not_judge_the_machine() -> None:
    factors = [1.0] * 10 + [1.3] * 5
    long = {Measure("test", f"l{n}"): _values(n, 1.0, factors, 0.02) for n in range(6)}
    short = {Measure("test", f"s{n}"): _values(n, 0.005, [1.0] * 15, 0.5) for n in range(10)}
    found = series_of({**long, **short}, 15).factors
    assert math.exp(found[-1] - found[0]) == pytest.approx(1.3, abs=0.08)


@pytest.mark.parametrize(("tests", "ratio"), [(10, 1.0), (200, 1.3)])
def test_many_short_tests_judge_it_together(tests: int, ratio: float) -> None:
    factors = [1.0] * 10 + [1.3] * 5
    short = {Measure("test", f"s{n}"): _values(n, 0.005, factors, 0.2) for n in range(tests)}
    found = series_of(short, 15).factors
    assert math.exp(found[-1] - found[0]) == pytest.approx(ratio, abs=0.1)


def test_the_cpu_time_of_a_stack_that_an_earlier_run_started_is_left_out() -> None:
    record = Suite().run(1)
    assert Measure("cpu", "db") in measures_of(record)
    (stack,) = record.stacks
    kept = replace(stack, spans=tuple(span for span in stack.spans if span.phase != "start"))
    found = measures_of(replace(record, stacks=(stack, kept)))
    assert Measure("cpu", "db") not in found
    assert Measure("memory", "db") in found


def test_a_part_of_a_series_has_factors_of_its_own() -> None:
    values = {Measure("test", f"t{n}"): dict(enumerate([1.0, 1.0, 2.0, 2.0])) for n in range(6)}
    series = series_of({**values, Measure("test", "gone"): {0: 1.0}}, 4)
    part = series.of_runs({run.id for run in series.runs[2:]})
    assert [run.id for run in part.runs] == ["r00002", "r00003"]
    assert part.values[Measure("test", "t0")] == {0: 2.0, 1: 2.0}
    assert Measure("test", "gone") not in part.values
    assert list(part.factors) == [0.0, 0.0]
    assert series.of_runs({run.id for run in series.runs}) is series
