"""A store of any earlier version becomes one of this version, and keeps its runs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dockwright.recording import RunStore
from dockwright.recording import store as schema
from dockwright.recording.store import MIGRATIONS, migrate, version_of
from tests.recording.test_store import run

NEXT = "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"
NOTES = "SELECT id, note FROM runs ORDER BY id"


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs.sqlite3")


@pytest.fixture
def connection(store: RunStore) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(store.file, isolation_level=None)) as opened:
        yield opened


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_every_old_version_is_migrated(
    store: RunStore, connection: sqlite3.Connection, version: int
) -> None:
    for step in MIGRATIONS[:version]:
        connection.executescript(step)
    if version:
        connection.execute(
            "INSERT INTO runs (id, began, wall, exit_code, revision, branch, machine, settings, "
            "tests, failed, document) VALUES ('old', 1e10, 1, 0, '', '', '{}', '{}', 0, 0, x'')"
        )
    connection.execute(f"PRAGMA user_version = {version}")
    assert store.add(run("new")) is None
    assert version_of(connection) == len(MIGRATIONS)
    assert {each.id for each in store.runs()} == ({"old", "new"} if version else {"new"})
    assert [each.run for each in store.history()] == ["new"]


def test_a_migration_keeps_the_runs(
    store: RunStore, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(run("old"))
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
    migrate(connection)
    migrate(connection)
    assert version_of(connection) == len(MIGRATIONS) + 1
    assert connection.execute(NOTES).fetchall() == [("old", "none")]
    assert len(store.load("old").tests) == 1


def test_a_step_that_fails_leaves_the_store_as_it_was(
    store: RunStore, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(run("old"))
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*MIGRATIONS, f"{NEXT}; ALTER TABLE none ADD x"))
        with pytest.raises(sqlite3.OperationalError, match="no such table: none"):
            migrate(connection)
    assert version_of(connection) == len(MIGRATIONS)
    assert store.add(run("new")) is None
    assert {each.id for each in store.runs()} == {"old", "new"}


def test_one_of_several_processes_migrates_the_store(
    store: RunStore, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(run("old"))
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, NEXT))
    failures = list[Exception]()

    def come() -> None:
        try:
            store.runs()
        except Exception as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    threads = [threading.Thread(target=come) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert connection.execute(NOTES).fetchall() == [("old", "none")]
