"""What became slower is found, with the likely reason; what varies by chance is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench.recorded_shop import Simulation, shop

from dockwright.history import Search, Thresholds, regressions, regressions_against
from dockwright.history.search import search_series
from tests._support.history.records import Suite, store_with
from tests._support.sample import FULL

SEEDS = range(1, 11) if FULL else range(1, 3)
USUAL = Suite()


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_regressions_are_found_within_five_runs(seed: int) -> None:
    simulation = Simulation(seed, spread=0.02, slower=20)
    result = search_series(simulation.series(), Thresholds())
    found = {each.measure.name for each in result.found}
    assert len(found & simulation.planted_names()) >= 19
    assert len(found - simulation.planted_names()) <= 0.05 * len(found)
    assert result.machine is None
    places = [each.run.id for each in result.found]
    assert places.count("r00025") >= 0.9 * len(places)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slower_machine_is_one_finding(seed: int) -> None:
    result = search_series(Simulation(seed, machine=0.15, after=8).series(), Thresholds())
    assert result.found == []
    assert result.machine is not None
    assert 0.08 < result.machine.ratio < 0.25


def test_recorded_runs_without_a_change_have_no_finding() -> None:
    assert search_series(shop(), Thresholds()).found == []


def test_a_small_change_is_not_reported() -> None:
    simulation = Simulation(spread=0.005, tests=100, slower=10, ratio=0.05)
    assert search_series(simulation.series(), Thresholds()).found == []
    found = search_series(simulation.series(), Thresholds(ratio=0.01)).found
    assert len({each.measure.name for each in found} & simulation.planted_names()) >= 5


@pytest.mark.parametrize(
    ("slower", "what", "part"),
    [
        (
            replace(USUAL, ready_s={"db": 1.5, "web": 0.4}),
            "waiting until db is ready",
            "db becomes ready 29",
        ),
        (
            replace(USUAL, image="sha256:" + "b" * 64, ready_s={"db": 2.0, "web": 0.4}),
            "starting stack default",
            "db becomes ready 795 ms later; the image of db changed from aaaaaaaaaaaa to ",
        ),
        (
            replace(USUAL, image="sha256:" + "b" * 64, ready_s={"db": 2.0, "web": 0.4}),
            "waiting until db is ready",
            "later; the image of db changed from aaaaaaaaaaaa to bbbbbbbbbbbb",
        ),
        (
            replace(USUAL, call_s={**USUAL.call_s, 4: 1.2}),
            "the test test_shop.py::test_4",
            "the test's own body takes 3",
        ),
        (
            replace(USUAL, fixture_s=0.6),
            "the test test_shop.py::test_0",
            "fixture basket takes 4",
        ),
        (replace(USUAL, shared_s=1.2), "the shared fixture catalogue", ""),
    ],
    ids=["entrypoint", "start", "image", "query", "fixture", "shared-fixture"],
)
def test_the_likely_part_is_named(tmp_path: Path, slower: Suite, what: str, part: str) -> None:
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 20), (slower, 6))
    result = regressions(store)
    found = {str(each.measure): each for each in result.found}
    assert what in found
    assert part in found[what].part
    assert found[what].run.id == "20270115-000020-abcdef"
    assert found[what].runs_after == 6
    assert result.machine is None


def test_only_runs_of_one_branch_and_machine_are_searched(tmp_path: Path) -> None:
    other = replace(USUAL, branch="feature", call_s={**USUAL.call_s, 4: 2.0})
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 20), (other, 6), (USUAL, 1))
    result = regressions(store)
    assert (len(result.runs), result.found) == (21, [])
    assert len(regressions(store, Search("feature")).runs) == 6
    assert regressions(store, Search("nothing")).runs == ()


def test_a_branch_is_compared_with_its_base(tmp_path: Path) -> None:
    other = replace(USUAL, branch="feature", call_s={**USUAL.call_s, 4: 2.0, 5: 0.1})
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 20), (other, 1))
    result = regressions_against(store, "main")
    assert result is not None
    assert [str(each.measure) for each in result.changes] == ["the test test_shop.py::test_4"]
    assert result.changes[0].part.startswith("the test's own body takes 1.1 s longer")
    assert regressions_against(store, "feature") is None
