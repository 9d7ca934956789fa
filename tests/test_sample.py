"""Tests marked `soak` run in `make soak`; `make test` draws a sample of them."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = """
import pytest

@pytest.mark.soak(sample=2)
@pytest.mark.parametrize("number", range(9))
def test_sampled(number): pass

@pytest.mark.soak
def test_long(): pass

def test_short(): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("DOCKWRIGHT_SOAK", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    pytester.makeconftest("pytest_plugins = ['tests._support.sample']")
    pytester.makeini("[pytest]\nmarkers = soak")
    pytester.makepyfile(test_it=SUITE)
    return pytester


def test_make_test_runs_a_sample(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess().assert_outcomes(passed=3, deselected=8)
    suite.runpytest_subprocess("-n", "2").assert_outcomes(passed=3)


def test_make_soak_runs_all(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKWRIGHT_SOAK", "1")
    suite.runpytest_subprocess().assert_outcomes(passed=11)


def test_the_seed_draws_the_sample(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(seed: str) -> list[str]:
        monkeypatch.setenv("DOCKWRIGHT_BATTERY_SEED", seed)
        lines = suite.runpytest_subprocess("-v").outlines
        return sorted(line.split()[0] for line in lines if " PASSED" in line)

    assert chosen("1") == chosen("1")
    assert len({tuple(chosen(str(seed))) for seed in range(4)}) > 1


def test_a_named_test_runs(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess("test_it.py::test_long").assert_outcomes(passed=1)
    suite.runpytest_subprocess("test_it.py::test_sampled").assert_outcomes(passed=9)
