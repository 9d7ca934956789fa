"""``dockwright plan`` and ``dockwright runs export --costs``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dockwright.cli.app import dockwright
from dockwright.paths import project_hash, runs_file
from dockwright.recording import (
    Gap,
    RunRecord,
    RunStore,
    Span,
    StackRecord,
    TestRecord,
    WorkerRecord,
    this_machine,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without recorded runs."""
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\ndockwright_max_stacks = 2\n")
    return directory


@pytest.fixture
def recorded(project: Path) -> Path:
    """A project with one recorded run: twelve tests that change the stack, one that does not."""
    tests = [
        TestRecord(f"test_it.py::test_{number}", "main", number, 1.0, "passed", "stateful", "dw-1")
        for number in range(12)
    ]
    tests.append(TestRecord("test_it.py::test_pure", "main", 12.0, 3.0, "passed"))
    spans = (Span("start", "", 0.0, 2.0), Span("reset", "", 3.0, 0.5))
    record = RunRecord(
        "20260101-000000-abcdef",
        time.time(),
        20.0,
        0,
        machine=this_machine(),
        tests=tuple(tests),
        workers=(WorkerRecord("main", (Gap("starting", 0.0, 1.0),)),),
        stacks=(StackRecord("dw-1", "default", spans),),
    )
    RunStore(runs_file(os.environ, project_hash(project))).add(record)
    return project


def _run(*words: str) -> Result:
    return CliRunner().invoke(dockwright, list(words))


def test_the_plan_lists_each_choice_with_what_holds_it_back(recorded: Path) -> None:
    result = _run("plan", "--root", str(recorded), "--workers", "1,2", "--shards", "1..2")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0][:3] == ["WORKERS", "SHARDS", "ENGINES"]
    assert [row[:3] for row in rows[1:]] == [
        ["1", "1", "1"],
        ["2", "1", "1"],
        ["1", "2", "1"],
        ["2", "2", "1"],
    ]
    # one worker: start of pytest 1 s, 15 tests of 15 s in total, the start of the stack hidden
    assert rows[1][3:5] == ["16.0", "s"]
    assert rows[1][9:] == ["the", "work", "of", "13", "tests", "for", "1", "worker"]
    assert result.stderr == "13 tests, by the costs of 1 recorded run\n"


def test_the_plan_as_json(recorded: Path) -> None:
    result = _run("plan", "--root", str(recorded), "--workers", "2", "--json")
    document = json.loads(result.stdout)
    assert (document["runs"], document["tests"]) == (1, 13)
    [choice] = document["choices"]
    assert choice["bound_s"] <= choice["wall_s"] <= choice["bound_s"] * 1.2
    assert choice["machine_s"] == choice["wall_s"]


def test_memory_bounds_the_copies(recorded: Path) -> None:
    result = _run("plan", "--root", str(recorded), "--workers", "8", "--memory", "1k", "--json")
    assert json.loads(result.stdout)["choices"][0]["held_back_by"] == "2 copies of stack default"


def test_the_timeline_of_one_choice(recorded: Path, tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    result = _run("plan", "--root", str(recorded), "--workers", "2", "--html", str(page))
    assert result.exit_code == 0
    assert page.read_text().count("<rect") == 13
    assert "test_it.py::test_pure: 3.00 s" in page.read_text()
    result = _run("plan", "--root", str(recorded), "--html", str(page))
    assert str(result.exception).startswith("--html shows one choice, not 4")


def test_without_a_recorded_run_there_is_nothing_to_plan(project: Path) -> None:
    for words in (["plan"], ["runs", "export", "--costs", "costs.json"]):
        result = _run(*words, "--root", str(project))
        assert "has no recorded run of this project" in str(result.exception)
        assert "--dockwright-record=on" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "x"], "'x': expected numbers such as 1,2,4 or 1..10"),
        (["--shards", "0"], "'0': expected numbers such as 1,2,4 or 1..10"),
        (["--engines", "3..1"], "'3..1': expected numbers such as 1,2,4 or 1..10"),
        (["--memory", "much"], "'much'"),
    ],
)
def test_wrong_numbers_are_usage_errors(recorded: Path, words: list[str], message: str) -> None:
    result = _run("plan", "--root", str(recorded), *words)
    assert result.exit_code == 2
    assert message in result.output


def test_costs_are_exported_with_their_hash(recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    result = _run("runs", "export", "--root", str(recorded), "--costs", str(file))
    assert result.exit_code == 0
    document = json.loads(file.read_text())
    assert document["tests"]["test_it.py::test_pure"] == 3.0
    assert document["stacks"]["default"]["boot_s"] == 2.0
    assert result.stderr.startswith(
        f"wrote the costs of 13 tests and 1 stack from 1 run to {file} ("
    )
