"""The store's tables, and how those of an older version become those of this one.

`runs` has a row for each run, with the whole record as compressed JSON. `tests` holds, of each of
its tests, what is asked for across runs: history, durations. A test's name is kept once.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

_V1 = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    began REAL NOT NULL,        -- seconds since the epoch
    wall REAL NOT NULL,         -- seconds
    exit_code INTEGER NOT NULL,
    revision TEXT NOT NULL,
    branch TEXT NOT NULL,
    dirty INTEGER,
    machine TEXT NOT NULL,      -- JSON
    settings TEXT NOT NULL,     -- JSON
    tests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    document BLOB NOT NULL      -- zlib of the record's JSON
) WITHOUT ROWID;
CREATE INDEX runs_by_time ON runs (began);
CREATE TABLE names (
    number INTEGER PRIMARY KEY,
    nodeid TEXT NOT NULL UNIQUE
);
CREATE TABLE tests (
    name INTEGER NOT NULL REFERENCES names (number),
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    wall REAL NOT NULL,         -- seconds, without what is shared
    queue REAL NOT NULL,        -- seconds of it in which it waited for a stack
    lane TEXT NOT NULL,
    PRIMARY KEY (name, run, attempt)
) WITHOUT ROWID;
CREATE INDEX tests_by_run ON tests (run);
"""

MIGRATIONS: tuple[str, ...] = (_V1,)
"""The steps from each version to the next; what was released is never changed."""


class NewerStoreError(sqlite3.DatabaseError):
    """A newer dockwright wrote the store."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a store, which may be empty, to this version, in one transaction.

    Raises:
        NewerStoreError: it is of a newer version.
    """
    if version_of(connection) == len(MIGRATIONS):
        return
    if version_of(connection) > len(MIGRATIONS):
        raise NewerStoreError(f"known are the versions up to {len(MIGRATIONS)}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)  # somebody may have been first
        for step in MIGRATIONS[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:  # also Ctrl-C: all migrations or none
        connection.execute("ROLLBACK")
        raise


def is_sound(connection: sqlite3.Connection) -> bool:
    """Tell whether a store has its tables and columns, and in them what belongs together.

    Raises:
        sqlite3.DatabaseError: it cannot be read at all.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        migrate(pattern)
        if not _columns(pattern) <= _columns(connection):
            return False
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return bool(verdict == "ok") and not connection.execute("PRAGMA foreign_key_check").fetchone()


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    found = connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables "
        "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
    )
    return set(found)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the store's tables; 0: there are none."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> list[str]:
    return [part for part in script.split(";") if part.strip()]
