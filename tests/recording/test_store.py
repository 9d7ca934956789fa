"""The store keeps runs, forgets old ones, and survives what happens to files."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.errors import StoreError
from dockwright.recording import RunRecord, RunStore, Span, StoreOptions, TestRecord
from dockwright.recording.store import MIGRATIONS
from tests.recording.test_record import WHOLE

DAY_S = 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "project" / "runs.sqlite3"


def run(name: str, *, began_s: float | None = None, test: str = "test_a.py::test_a") -> RunRecord:
    began_s = time.time() if began_s is None else began_s
    spans = (
        Span("queue", "in use", 0.0, 0.25),
        Span("queue", "starting", 0.25, 2.0, shared=True),
        Span("call", "", 2.25, 0.75),
    )
    tests = (TestRecord(test, "main", 0.0, 1.0, "passed", "stateful", "dw-1", spans),)
    return RunRecord(name, began_s, 5.0, 0, tests=tests)


def test_a_run_round_trips(file: Path) -> None:
    store = RunStore(file, StoreOptions(keep_days=0))
    store.add(WHOLE)
    assert store.load(WHOLE.id) == WHOLE
    (head,) = store.runs()
    assert (head.id, head.exit_code, head.tests, head.failed) == (WHOLE.id, 1, 1, 1)
    assert (head.revision, head.branch, head.dirty) == ("0123abcd", "main", True)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_reading_does_not_create_a_store(file: Path) -> None:
    store = RunStore(file)
    assert store.runs() == []
    assert store.history() == []
    assert store.remove(["x"]) == 0
    with pytest.raises(
        StoreError, match="no recorded run x\n  hint: list the runs with `dockwright runs ls`"
    ):
        store.load("x")
    assert not file.parent.exists()


def test_the_newest_comes_first(file: Path) -> None:
    store = RunStore(file)
    now = time.time()
    for name, age_s in (("b", 20.0), ("c", 10.0), ("a", 30.0)):
        store.add(run(name, began_s=now - age_s))
    assert [each.id for each in store.runs()] == ["c", "b", "a"]
    assert [each.id for each in store.runs(limit=2)] == ["c", "b"]


def test_old_and_surplus_runs_are_removed_by_the_next_one(file: Path) -> None:
    store = RunStore(file, StoreOptions(keep_days=10, keep_runs=2))
    now = time.time()
    store.add(run("old", began_s=now - 9.9 * DAY_S, test="test_gone.py::test_x"))
    assert len(store.runs()) == 1
    store.add(run("b", began_s=now - 20))
    store.add(run("c", began_s=now - 10))
    assert [each.id for each in store.runs()] == ["c", "b"]
    store.add(run("ancient", began_s=now - 11 * DAY_S))
    assert [each.id for each in store.runs()] == ["c", "b"]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT nodeid FROM names").fetchall() == [("test_a.py::test_a",)]


def test_runs_are_removed_with_their_tests(file: Path) -> None:
    store = RunStore(file)
    store.add(run("a"))
    store.add(run("b"))
    assert store.remove(["a", "unknown"]) == 1
    assert [each.run for each in store.history()] == ["b"]


def test_the_history_of_a_test(file: Path) -> None:
    store = RunStore(file)
    now = time.time()
    again = run("new", began_s=now)
    store.add(run("old", began_s=now - 10))
    first = replace(again.tests[0], outcome="rerun")
    store.add(replace(again, tests=(first, *again.tests)))
    store.add(run("other", began_s=now - 5, test="test_b.py::test_b"))
    past = store.history(nodeids=["test_a.py::test_a"])
    assert [(each.run, each.outcome) for each in past] == [
        ("new", "rerun"),
        ("new", "passed"),
        ("old", "passed"),
    ]
    assert (past[0].wall_s, past[0].queue_s, past[0].lane) == (1.0, 0.25, "stateful")
    assert {each.run for each in store.history(runs=1)} == {"new"}


@pytest.mark.parametrize(
    "damage", [b"this is no database" * 100, b"SQLite format 3\0" + b"x" * 9000]
)
def test_a_damaged_store_is_set_aside(file: Path, damage: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(damage)
    store = RunStore(file)
    with pytest.raises(StoreError, match="hint: move the file away"):
        store.runs()
    aside = store.add(run("a"))
    assert aside is not None
    assert aside.read_bytes() == damage
    assert [each.id for each in store.runs()] == ["a"]
    assert store.add(run("b")) is None


def test_a_torn_page_is_detected_and_set_aside(file: Path) -> None:
    store = RunStore(file)
    for number in range(20):
        store.add(run(f"r{number}", test=f"test_{number}.py::{'x' * 500}"))
    store.remove(["r0"])  # empties the log into the file
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    assert store.add(run("a")) is not None
    assert [each.id for each in store.runs()] == ["a"]


def test_a_locked_store_is_reported_after_a_while(file: Path) -> None:
    store = RunStore(file, StoreOptions(busy_s=0.2))
    store.add(run("a"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"cannot save the run: .*: database is locked"):
            store.add(run("b"))
        assert [each.id for each in store.runs()] == ["a"]  # readers do not wait for writers
    store.add(run("b"))


def test_a_store_that_cannot_be_created(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreError, match="cannot save the run"):
        RunStore(blocked / "runs.sqlite3").add(run("a"))


def test_a_newer_store_is_left_alone(file: Path) -> None:
    store = RunStore(file)
    store.add(run("a"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match=r"a newer dockwright wrote .*\n  hint: update"):
        store.add(run("b"))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT id FROM runs").fetchall() == [("a",)]


def test_several_processes_may_create_the_store(file: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.recording.test_store import run
from dockwright.recording import RunStore
print("ready", flush=True)
sys.stdin.readline()
RunStore(Path(sys.argv[1])).add(run(sys.argv[2]))
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file), f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    assert {each.id for each in RunStore(file).runs()} == {"w0", "w1", "w2", "w3"}


@pytest.mark.parametrize(
    "document",
    ["text", b"no zlib", *map(zlib.compress, (b"5", b"{}", b"\xff", b"[" * 100_000))],
)
def test_a_damaged_record_is_reported(file: Path, document: str | bytes) -> None:
    store = RunStore(file)
    store.add(run("a"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE runs SET document = ?", [document])
        connection.commit()
    with pytest.raises(StoreError, match=r"cannot read run a in .*runs.*: ") as caught:
        store.load("a")
    assert caught.value.hint == "its record is damaged; `dockwright runs rm a` removes it"
    assert store.remove(["a"]) == 1


def test_a_decompression_bomb_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockwright.recording.store._RECORD_BYTES", 1 << 20)
    store = RunStore(file)
    store.add(run("a"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE runs SET document = ?", [zlib.compress(b" " * (2 << 20))])
        connection.commit()
    with pytest.raises(StoreError, match="it is longer than 1 MiB"):
        store.load("a")


def test_a_directory_in_place_of_the_store(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot read the recorded runs: .*: unable to open"):
        RunStore(file).runs()
