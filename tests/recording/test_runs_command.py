"""``dockwright runs``: what it lists, shows, removes and passes on."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Git, RunRecord, RunStore
from tests.recording.test_record import WHOLE

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """The store of the project in the current directory, with two runs."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pytest.ini").touch()
    monkeypatch.chdir(root)
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    found = RunStore(
        runs_file({"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}, project_hash(root))
    )
    found.add(replace(WHOLE, id="20260131-101500-0a1b2c", began_s=time.time() - 86_400 * 2))
    last = RunRecord("20260202-101500-ffffff", time.time() - 60, 3.0, 0, git=Git("", ""))
    found.add(last)
    return found


def test_ls_shows_the_newest_first(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "ls"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["RUN", "BEGAN", "AGO", "WALL", "TESTS"]
    assert first.startswith("20260202-101500-ffffff   ")
    assert first.split()[-7:] == ["3.0", "s", "0", "-", "0", "-", "-"]
    assert second.split()[3:] == ["2d", "4.5", "s", "1", "1", "1", "main", "0123abcd+"]
    assert run(["runs", "ls", "-n", "1", "--json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["id"], only["exit_code"], only["dirty"]) == ("20260202-101500-ffffff", 0, None)


def test_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    assert run(["runs", "ls"]) == 0
    assert "has no recorded run of this project" in capsys.readouterr().err
    assert run(["runs", "ls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(["runs", "export"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["runs", "show"]) == 2
    assert "hint: run tests that use a stack, or run pytest with --dockwright-record=on" in (
        capsys.readouterr().err
    )


def test_show_prints_where_the_time_went(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "show", "20260131"]) == 0
    out = capsys.readouterr().out
    for line in (
        "1 test, exit code 1",
        "source   main at 0123abcd, with uncommitted changes",
        "machine  a cpu, 2 cores, 1.1 GB",
        "setting  max_stacks = 2",
        "main     collection   0.500      11%",
        "main     shared       0.750      17%",
        "call            1.000     1",
        "fixture db      0.250     1",
        "client   fixture   main    0.500     3 tests",
        "dw-shop-1/db   0.50 s   1.0 MB   10 B   20 B      30 B       40 B   50 B",
        "test_a.py::test_a   failed    1.250     call 1.000 s",
        "problem: a problem",
    ):
        assert line in out.splitlines(), out
    assert run(["runs", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "20260202-101500-ffffff"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "2026"], "2 runs have names that start with '2026'"),
        (["show", "1999"], "no run has a name that starts with '1999'"),
        (["rm"], "give either names of runs, or --older-than, or --all"),
        (["rm", "--all", "2026"], "give either names of runs, or --older-than, or --all"),
        (["rm", "--older-than", "soon"], "--older-than 'soon': expected a duration, such as"),
        (["export", "1999"], "no run has a name that starts with '1999'"),
    ],
)
def test_impossible_arguments(
    store: RunStore, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert run(["runs", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "hint: " in err
    assert len(store.runs()) == 2


def test_rm_by_name_age_and_all(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "rm", "--older-than", "3d"]) == 0
    assert run(["runs", "rm", "--older-than", "36h"]) == 0
    assert [each.id for each in store.runs()] == ["20260202-101500-ffffff"]
    assert run(["runs", "rm", "20260202"]) == 0
    assert run(["runs", "rm", "--all"]) == 0
    assert store.runs() == []
    assert capsys.readouterr().err.splitlines() == [
        "removed 0 runs",
        "removed 1 run",
        "removed 1 run",
        "removed 0 runs",
    ]


def test_export_as_json_lines(store: RunStore, capsys: Capture) -> None:
    assert run(["runs", "export"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert RunRecord.from_json(json.loads(first)).tests == WHOLE.tests
    assert json.loads(second)["id"] == "20260202-101500-ffffff"


def test_export_as_csv_to_a_file(store: RunStore, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "tests.csv"
    assert run(["runs", "export", "20260131", "--format", "csv", "-o", str(file)]) == 0
    assert capsys.readouterr().err.startswith(f"wrote 1 run to {file}, ")
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert row["nodeid"] == "test_a.py::test_a"
    assert (row["outcome"], row["lane"], row["stack"]) == ("failed", "stateful", "dw-shop-1")
    assert float(row["wall_s"]) == 1.25
    assert float(row["shared_s"]) == 0.75
    parts = [float(row[f"{name}_s"]) for name in ("queue", "fixture", "call", "wait", "other")]
    assert parts == [0.0, 0.25, 1.0, 0.0, 0.0]


def test_a_store_that_cannot_be_read(store: RunStore, capsys: Capture) -> None:
    store.file.write_bytes(b"no database" * 100)
    assert run(["runs", "ls"]) == 1
    assert "hint: move the file away; the next run creates a new one" in capsys.readouterr().err
