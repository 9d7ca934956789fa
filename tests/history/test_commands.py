"""``dockwright runs compare`` and ``regressions``: what they print and how they exit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.recorded_shop import run_numbered

from dockwright.cli.errors import run
from dockwright.history import Change, Comparison, Measure
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Machine, RunStore
from dockwright.report.comparison import comparison_markdown, confidence
from tests._support.history.records import Suite, store_with

Capture = pytest.CaptureFixture[str]
USUAL = Suite()
SLOWER = replace(USUAL, call_s={**USUAL.call_s, 4: 2.0}, branch="feature")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store's file of the project in the current directory."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pytest.ini").touch()
    monkeypatch.chdir(root)
    environ = {"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", environ["DOCKWRIGHT_CACHE_DIR"])
    return runs_file(environ, project_hash(root))


@pytest.fixture
def store(file: Path) -> RunStore:
    """The store with 20 runs of main, and one of a branch in which one test is slower."""
    return store_with(file, (USUAL, 20), (SLOWER, 1))


def test_compare_prints_what_changed(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "compare", "main", "last"]) == 0
    out, err = capsys.readouterr()
    header, row = out.splitlines()
    assert header.split() == ["WHAT", "BEFORE", "AFTER", "CHANGE", "CONFIDENCE", "LIKELY", "PART"]
    assert row.startswith("the test test_shop.py::test_4   0.8")
    assert row.endswith("the test's own body takes 1.1 s longer")
    assert err.splitlines()[0] == (
        "3 runs of main compared with 20270115-000020-abcdef (0014000000); noise of 17 earlier runs"
    )
    assert run(["runs", "compare", "main", "last", "--fail"]) == 1
    assert run(["runs", "compare", "last", "main", "--fail"]) == 0  # it became faster
    assert run(["runs", "compare", "20270115-000003", "20270115-000004", "--fail"]) == 0
    assert "no change" in capsys.readouterr().err


def test_compare_as_json_and_markdown(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "compare", "main", "feature", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["after"] == ["20270115-000020-abcdef"]
    (change,) = document["changes"]
    assert (change["kind"], change["name"]) == ("test", "test_shop.py::test_4")
    assert change["unit"] == "s"
    assert change["before"] < change["after"]
    assert change["q"] <= 0.05
    assert list(change["parts"]) == ["call"]
    assert change["parts"]["call"]["after"] == pytest.approx(2.0, rel=0.1)
    assert run(["runs", "compare", "main", "feature", "--markdown"]) == 0
    title, _, _, _, bold, _, head, line, row = capsys.readouterr().out.splitlines()
    assert title == "### dockwright: 1 slower, 0 other changes"
    assert bold == "**Changes**"
    assert (head.count("|"), line.count("|"), row.count("|")) == (7, 7, 7)


def test_a_comment_is_never_too_long() -> None:
    change = Change(Measure("test", "test_<b>|`x`.py::" + "x" * 200), 1.0, 2.0, 0.01)
    text = comparison_markdown(Comparison([run_numbered(1)], [run_numbered(2)], [change] * 5000))
    assert len(text.encode()) <= 65_536
    assert "_Truncated to fit GitHub's limit" in text
    assert "<b>" not in text


def test_regressions_on_the_current_branch(file: Path, capsys: Capture) -> None:
    store_with(file, (USUAL, 20), (replace(SLOWER, branch="main"), 6))
    assert run(["runs", "regressions"]) == 0
    out, err = capsys.readouterr()
    header, row = out.splitlines()
    assert header.split()[:4] == ["WHAT", "BEFORE", "AFTER", "CHANGE"]
    assert "20270115-000020-abcdef (0014000000)   6" in row
    assert err.startswith("searched 26 runs of main, ")
    assert run(["runs", "regressions", "--fail"]) == 1
    assert run(["runs", "regressions", "--fail", "--min-change", "500"]) == 0
    capsys.readouterr()
    assert run(["runs", "regressions", "--fail", "--base", "main", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["regressions"]
    assert (found["since"], found["runs_after"]) == ("20270115-000020-abcdef", 6)
    assert run(["runs", "regressions", "--markdown"]) == 0
    assert "### dockwright: 1 regression in 26 runs" in capsys.readouterr().out


def test_regressions_against_another_branch(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "regressions", "--base", "main", "--fail"]) == 1
    assert "the test test_shop.py::test_4" in capsys.readouterr().out
    assert run(["runs", "regressions", "--base", "nope"]) == 2
    err = capsys.readouterr().err
    assert "no other recorded run has the branch, the revision or the name 'nope'" in err
    assert "recorded branches: feature and main" in err


def test_a_slower_machine_is_one_line(file: Path, capsys: Capture) -> None:
    store_with(file, (USUAL, 20), (replace(USUAL, machine=1.15), 8))
    assert run(["runs", "regressions", "--fail"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "no regression" in err
    assert "the machine: everything takes +16 % since 20270115-000020" in err


def test_too_few_runs_are_no_regression(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "regressions"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "no regression",
        "1 run of feature on this machine: at least 8 are needed, 3 of them after a change",
    ]


def test_different_machines_are_named(file: Path, capsys: Capture) -> None:
    store = store_with(file, (USUAL, 2))
    other = replace(USUAL.run(2), machine=Machine("another cpu", 8))
    store.add(other)
    assert run(["runs", "compare", "last~1", "last"]) == 0
    err = capsys.readouterr().err
    assert "different machines: a cpu, 2 cores before, another cpu, 8 cores after" in err


def test_without_recorded_runs_the_commands_say_so(file: Path, capsys: Capture) -> None:
    assert run(["runs", "regressions", "--fail"]) == 0
    assert "no run of this project is recorded" in capsys.readouterr().err
    assert run(["runs", "compare", "last", "main"]) == 2
    assert "no run of this project is recorded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("q", "text"), [(None, "unknown"), (0.0001, "> 99.9 %"), (0.05, "95.0 %"), (0.0123, "98.7 %")]
)
def test_confidence_in_words(q: float | None, text: str) -> None:
    assert confidence(q) == text
