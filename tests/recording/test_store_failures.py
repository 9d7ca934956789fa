"""A store on a bad day: whatever its file or its disk is, `add` keeps the run or says why not."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dockwright.errors import StoreError
from dockwright.recording import RunStore
from tests.recording.test_store import run

SAMPLE = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    if os.geteuid():
        pytest.skip("only root may mount a disk")
    directory = tmp_path / "disk"
    directory.mkdir()
    _mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory))
    yield directory
    subprocess.run(["umount", str(directory)], check=True, timeout=20)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")


def test_on_a_full_disk_a_run_is_not_kept_and_no_other_is_lost(disk: Path) -> None:
    store = RunStore(disk / "runs.sqlite3")
    store.add(run("a"))
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(StoreError, match=r"cannot save the run: .*full"):
        store.add(run("b", test=f"test_b.py::{'x' * 50_000}"))
    filler.unlink()
    assert [each.id for each in store.runs()] == ["a"]
    assert store.add(run("c")) is None
    assert {each.id for each in store.runs()} == {"a", "c"}


def test_on_a_disk_that_is_read_only_a_run_is_not_kept(disk: Path) -> None:
    store = RunStore(disk / "runs.sqlite3")
    store.add(run("a"))
    _mount("-o", "remount,ro", str(disk))
    with pytest.raises(StoreError, match="cannot save the run: "):
        store.add(run("b"))
    with pytest.raises(StoreError, match="cannot save the run: "):
        RunStore(disk / "new" / "runs.sqlite3").add(run("b"))


@pytest.mark.parametrize("script", ["CREATE TABLE runs (x)", "CREATE INDEX runs (x)"])
def test_somebody_elses_database_is_set_aside(tmp_path: Path, script: str) -> None:
    file = tmp_path / "runs.sqlite3"
    with closing(sqlite3.connect(file)) as connection, suppress(sqlite3.OperationalError):
        connection.execute("CREATE TABLE theirs (x)")
        connection.execute(script.replace("INDEX runs (x)", "INDEX runs ON theirs (x)"))
    aside = RunStore(file).add(run("a"))
    assert aside is not None
    assert aside.exists()
    assert [each.id for each in RunStore(file).runs()] == ["a"]


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE names",
        "DROP TABLE tests",
        "ALTER TABLE runs DROP COLUMN machine",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = x'ebff'",
    ],
)
def test_a_store_that_lacks_something_is_set_aside(tmp_path: Path, script: str) -> None:
    file = tmp_path / "runs.sqlite3"
    RunStore(file).add(run("old"))
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    assert RunStore(file).add(run("new")) is not None
    assert [each.id for each in RunStore(file).runs()] == ["new"]


def test_an_impossible_value_is_reported(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.sqlite3")
    store.add(run("a"))
    with closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE runs SET exit_code = 'none'")
    with pytest.raises(StoreError, match="hint: move the file away"):
        store.runs()


def _harm(file: Path, dice: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at, much = dice.randrange(len(content)), dice.randint(1, 9000)
    harm = dice.choice(["bits", "zeros", "noise", "end", "more"])
    if harm == "bits":
        for _ in range(dice.randint(1, 50)):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif harm == "end":
        del content[at:]
    elif harm == "more":
        content += dice.randbytes(much)
    else:
        length = len(content[at : at + much])
        content[at : at + much] = dice.randbytes(length) if harm == "noise" else bytes(length)
    file.write_bytes(content)


def test_a_damaged_file_never_loses_a_run_silently(tmp_path: Path) -> None:
    whole, file = tmp_path / "whole", tmp_path / "runs.sqlite3"
    for number in range(12):
        RunStore(whole).add(run(f"r{number}", test=f"test_{number}.py::{'x' * 400}"))
    kept = aside = 0
    for seed in range(SAMPLE):
        shutil.copy(whole, file)
        _harm(file, random.Random(seed))
        store = RunStore(file)
        with suppress(StoreError):
            aside += store.add(run("new")) is not None
            kept += 1
        with suppress(StoreError):
            store.history()
            for each in store.runs():
                store.load(each.id)
        for left in tmp_path.glob("runs.sqlite3*"):
            left.unlink()
    assert kept > 0.9 * SAMPLE
    assert 0 < aside < kept
