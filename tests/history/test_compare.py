"""Two runs, revisions or branches compared: what changed beyond the noise."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from bench.recorded_shop import run_numbered, shop

from dockwright.errors import UsageError
from dockwright.history import Thresholds, compare, revision_by_git, runs_named
from dockwright.history.comparison import Sides, compare_series
from dockwright.report.comparison import comparison_remarks
from tests._support.history.records import Suite, store_with
from tests._support.sample import FULL

USUAL = Suite()
PAIRS = 100 if FULL else 10


def test_recorded_runs_of_one_source_do_not_differ() -> None:
    series, dice = shop(), random.Random(8)
    findings = 0
    for _ in range(PAIRS):
        a, b = dice.sample(range(len(series.runs)), 2)
        others = [at for at in range(len(series.runs)) if at not in (a, b)]
        result = compare_series(series, Sides([a], [b], others), Thresholds())
        findings += bool(result.changes or result.machine)
    assert findings <= max(1, 0.05 * PAIRS)


def test_the_most_expensive_change_comes_first(tmp_path: Path) -> None:
    slower = replace(
        USUAL,
        call_s={**USUAL.call_s, 4: 2.0, 7: 1.8, 9: 0.2},
        ready_s={"db": 2.0, "web": 0.4},
        branch="feature",
    )
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 20), (slower, 3))
    result = compare(store, "main", "feature")
    assert [str(each.measure) for each in result.changes] == [
        "the test test_shop.py::test_4",
        "waiting until db is ready",
        "starting stack default",
        "the test test_shop.py::test_7",
        "the test test_shop.py::test_9",
    ]
    first, _, start, *_, faster = result.changes
    assert first.q is not None
    assert first.q < 0.05
    assert (first.slower, faster.slower) == (True, False)
    assert first.ratio == pytest.approx(1.2, abs=0.2)
    assert start.part.startswith("db becomes ready 7")
    assert (len(result.before), len(result.after), result.history) == (3, 3, 17)


def test_another_image_is_named_even_if_nothing_is_slower(tmp_path: Path) -> None:
    other = replace(USUAL, image="sha256:" + "b" * 64, branch="feature")
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 20), (other, 3))
    result = compare(store, "main", "feature")
    assert result.changes == []
    assert comparison_remarks(result)[0] == (
        "the image of db changed from aaaaaaaaaaaa to bbbbbbbbbbbb"
    )


def test_a_slower_machine_is_one_finding(tmp_path: Path) -> None:
    store = store_with(
        tmp_path / "runs.sqlite3", (USUAL, 20), (replace(USUAL, machine=1.3, branch="other"), 3)
    )
    result = compare(store, "main", "other")
    assert result.machine == pytest.approx(0.3, abs=0.05)
    assert result.changes == []


def test_without_a_history_the_confidence_is_unknown(tmp_path: Path) -> None:
    slower = replace(USUAL, call_s={**USUAL.call_s, 4: 2.0})
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 1), (slower, 1))
    result = compare(store, "20270115-000000", "last")
    assert [(str(each.measure), each.q) for each in result.changes] == [
        ("the test test_shop.py::test_4", None)
    ]
    assert result.slower == []


def test_new_and_gone_tests_are_listed(tmp_path: Path) -> None:
    other = replace(USUAL, call_s={**{n: USUAL.call_s[n] for n in range(1, 12)}, 12: 1.0})
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 10), (other, 1))
    result = compare(store, "20270115-000009", "last")
    assert result.added == ["test_shop.py::test_12"]
    assert result.gone == ["test_shop.py::test_0"]


def test_runs_are_chosen_by_name_revision_or_branch() -> None:
    known = [
        run_numbered(number, "main" if number % 2 else "feature") for number in range(9, 0, -1)
    ]
    assert [run.id for run in runs_named(known, "last")] == ["r00009"]
    assert [run.id for run in runs_named(known, "last~2")] == ["r00007"]
    assert [run.id for run in runs_named(known, "last", besides={"r00009"})] == ["r00008"]
    assert [run.id for run in runs_named(known, "main")] == ["r00009", "r00007", "r00005"]
    assert runs_named(known, "main", besides={"r00009"})[0].id == "r00007"
    assert [run.id for run in runs_named(known, "r00004")] == ["r00004"]
    assert [run.id for run in runs_named(known, "0" * 39 + "4")] == ["r00004"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r0", "9 runs have names that start with 'r0'"),
        ("nope", "no recorded run has the branch, the revision or the name 'nope'"),
        ("fff", "no recorded run has the branch, the revision or the name 'fff'"),
        ("last~9", "unknown run 'last~9': this project has 9 recorded runs"),
        ("last~x", "no recorded run has the branch, the revision or the name 'last~x'"),
    ],
)
def test_an_unknown_name_is_a_usage_error(name: str, message: str) -> None:
    known = [run_numbered(number) for number in range(1, 10)]
    with pytest.raises(UsageError, match=message) as error:
        runs_named(known, name)
    assert "recorded branches: main" in str(error.value)


def test_names_that_git_knows_are_revisions(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        command = ["git", *identity, *arguments]
        return subprocess.check_output(command, cwd=tmp_path, text=True).strip()

    find = revision_by_git(tmp_path)
    assert find("HEAD") == ""  # no work tree
    git("init", "-q", "-b", "main")
    for word in ("first", "second"):
        git("commit", "-q", "--allow-empty", "-m", word)
    git("tag", "v1", "HEAD~1")
    first = replace(run_numbered(1), revision=git("rev-parse", "v1"))
    known = [replace(run_numbered(2), revision=git("rev-parse", "HEAD")), first]
    for name in ("v1", "HEAD~1", "HEAD^"):
        assert runs_named(known, name, revision_of=find) == [first]
    assert [find(name) for name in ("nope", "--version", "a b", "")] == [""] * 4
    with pytest.raises(UsageError, match=r"no recorded run has .* 'v1 \([0-9a-f]{10}\)'"):
        runs_named(known[:1], "v1", revision_of=find)


def test_without_recorded_runs_a_comparison_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no run of this project is recorded"):
        runs_named([], "last")
