"""``dockwright markers``: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.model import Trace
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Lane, RunRecord, RunStore, TestRecord

Capture = pytest.CaptureFixture[str]
NOW = time.time()
ROW = Trace("table", "shop.public.orders", "1 row added", "db")
SOURCE = """
import pytest


@pytest.mark.stateless
def test_writes(stack): ...


def test_reads(stack): ...
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """The store of the project in the current directory, which has one module of tests."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pytest.ini").touch()
    (root / "test_it.py").write_text(SOURCE)
    monkeypatch.chdir(root)
    environ = {"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", environ["DOCKWRIGHT_CACHE_DIR"])
    return RunStore(runs_file(environ, project_hash(root)))


def seen(name: str, lane: Lane, *traces: Trace, audited: bool = True) -> TestRecord:
    """Return a test that passed."""
    nodeid = f"test_it.py::{name}"
    return TestRecord(nodeid, "main", 0.0, 1.0, "passed", lane, audited=audited, traces=traces)


@pytest.fixture
def audited(store: RunStore) -> RunStore:
    """The store with one audited run."""
    tests = (seen("test_writes", "stateless", ROW), seen("test_reads", "stateful"))
    store.add(RunRecord("20270101-000000-aaaaaa", NOW, 2.0, 0, tests=tests))
    return store


def test_the_table_lists_wrong_markers_first(audited: RunStore, capsys: Capture) -> None:
    assert run(["markers"]) == 0
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert header.split() == ["TEST", "MARKED", "SHOULD", "BE", "RUNS", "SAVES", "SEEN"]
    assert [" ".join(row.split()) for row in rows] == [
        "test_it.py::test_reads stateful stateless 1 - reads only",
        "test_it.py::test_writes stateless stateful 1 - db: table shop.public.orders (1 row added)",
    ]
    assert err.splitlines() == [
        "2 tests: 2 with the wrong marker, 0 unknown",
        "`dockwright markers --write` corrects those for which all runs agree",
    ]


def test_write_prints_the_diff_and_changes_the_sources_once(
    audited: RunStore, capsys: Capture
) -> None:
    assert run(["markers", "--write", "--dry-run"]) == 0
    shown, err = capsys.readouterr()
    assert "+@pytest.mark.stateless\n def test_reads" in shown
    assert err == "would change 1 file\n"
    assert Path("test_it.py").read_text() == SOURCE
    assert run(["markers", "--write"]) == 0
    assert capsys.readouterr() == (shown, "changes 1 file\n")
    assert Path("test_it.py").read_text() == SOURCE.replace("stateless", "stateful").replace(
        "def test_reads", "@pytest.mark.stateless\ndef test_reads"
    )
    assert run(["markers", "--write"]) == 0
    assert capsys.readouterr() == ("", "nothing to change\n")


def test_check_fails_as_long_as_a_marker_is_wrong(audited: RunStore, capsys: Capture) -> None:
    assert run(["markers", "--check"]) == 1
    assert run(["markers", "--write"]) == 0
    assert run(["markers", "--check"]) == 0


def test_only_what_all_runs_agree_on_is_written(audited: RunStore, capsys: Capture) -> None:
    tests = (seen("test_writes", "stateless"), seen("test_reads", "stateful"))
    audited.add(RunRecord("20270102-000000-aaaaaa", NOW + 1, 2.0, 0, tests=tests))
    assert run(["markers", "--write"]) == 0
    assert "@pytest.mark.stateless\ndef test_writes" in Path("test_it.py").read_text()
    assert run(["markers", "--check"]) == 1  # it changed its stack once
    assert run(["markers"]) == 0
    assert "stateful (runs differ)" in capsys.readouterr().out


def test_json_lists_each_test_with_its_markers(audited: RunStore, capsys: Capture) -> None:
    assert run(["markers", "--json", "--check"]) == 1
    [writes, reads] = json.loads(capsys.readouterr().out)["tests"]
    assert writes == {
        "nodeid": "test_it.py::test_writes",
        "marked": "stateless",
        "right": "stateful",
        "wrong": True,
        "agreed": True,
        "reason": None,
        "runs": 1,
        "changes": ["db: table shop.public.orders (1 row added)"],
        "leaks": [],
        "saves_s": 0.0,
    }
    assert reads["right"] == "stateless"


def test_without_audited_runs_it_says_what_to_do(store: RunStore, capsys: Capture) -> None:
    assert run(["markers"]) == 2
    assert capsys.readouterr().err == (
        f"error: {store.file} has no recorded run of this project with tests that use a stack\n"
        "  hint: run pytest with --dockwright-audit=report, once or a few times\n"
    )
    tests = (seen("test_reads", "stateful", audited=False),)
    store.add(RunRecord("20270101-000000-aaaaaa", NOW, 2.0, 0, tests=tests))
    assert run(["markers"]) == 0
    out, err = capsys.readouterr()
    assert "no audited run; run pytest with --dockwright-audit=report" in out
    assert err.splitlines()[1].startswith("no recorded run is audited: ")
    assert run(["markers", "--check"]) == 2
    assert capsys.readouterr().err == (
        "error: nothing to check: no recorded run was audited\n"
        "  hint: run pytest with --dockwright-audit=report, once or a few times\n"
    )


def test_a_dry_run_needs_something_to_do(audited: RunStore, capsys: Capture) -> None:
    assert run(["markers", "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("error: --dry-run shows what --write would do\n")
