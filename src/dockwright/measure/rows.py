"""What the store keeps of a run in rows, beside its whole record."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from dockwright.measure.record import RunRecord, TestRecord

HEAD = (
    "id, began, wall, exit_code, revision, branch, dirty, tests, failed, length(document) AS size"
)
"""The columns of a `StoredRun`."""

_FAILED = ("failed", "error")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The head of a kept run.

    Attributes:
        id: of the run.
        began_s: when, seconds since the epoch.
        wall_s: how long it took.
        exit_code: pytest's.
        revision: of the source, as git knows it; may be empty.
        branch: may be empty.
        dirty: whether there were changes that are not committed; None: unknown.
        tests: how many attempts at tests it has.
        failed: how many of them failed.
        stored_bytes: what its record takes in the store.
    """

    id: str
    began_s: float
    wall_s: float
    exit_code: int
    revision: str
    branch: str
    dirty: bool | None
    tests: int
    failed: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class PastTest:
    """One attempt at a test in one kept run.

    Attributes:
        nodeid: of the test.
        run: the run's id.
        began_s: when the run began, seconds since the epoch.
        outcome: how the test ended.
        wall_s: what it took, without what is shared.
        queue_s: the part of it in which it waited for a stack.
        lane: how it used a stack.
    """

    nodeid: str
    run: str
    began_s: float
    outcome: str
    wall_s: float
    queue_s: float
    lane: str


def insert_run(connection: sqlite3.Connection, record: RunRecord, document: bytes) -> None:
    """Add the row of a run, or replace it."""
    failed = sum(test.outcome in _FAILED for test in record.tests)
    connection.execute(
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            record.id,
            record.began_s,
            record.wall_s,
            record.exit_code,
            record.git.revision,
            record.git.branch,
            record.git.dirty,
            json.dumps(asdict(record.machine)),
            json.dumps(dict(record.settings)),
            len(record.tests),
            failed,
            document,
        ],
    )


def insert_tests(connection: sqlite3.Connection, record: RunRecord) -> None:
    """Add the rows of its tests."""
    connection.executemany(
        "INSERT OR IGNORE INTO names (nodeid) VALUES (?)", [[each.nodeid] for each in record.tests]
    )
    connection.executemany(
        "INSERT INTO tests SELECT number, ?, ?, ?, ?, ?, ? FROM names WHERE nodeid = ?",
        _test_rows(record.id, record.tests),
    )


def _test_rows(run: str, tests: Sequence[TestRecord]) -> Iterator[Sequence[object]]:
    attempts: Counter[str] = Counter()
    for test in tests:
        attempts[test.nodeid] += 1
        queue_s = sum(
            span.seconds for span in test.spans if span.phase == "queue" and not span.shared
        )
        yield (
            run,
            attempts[test.nodeid],
            test.outcome,
            test.wall_s,
            queue_s,
            test.lane,
            test.nodeid,
        )


def drop_names(connection: sqlite3.Connection) -> None:
    """Forget the names of tests that no kept run has."""
    connection.execute(
        "DELETE FROM names WHERE NOT EXISTS (SELECT 1 FROM tests WHERE tests.name = names.number)"
    )


def stored(row: Sequence[object]) -> StoredRun:
    """Return the head of a run from a row of `HEAD`."""
    run, began, wall, code, revision, branch, dirty, tests, failed, size = row
    return StoredRun(
        id=str(run),
        began_s=float(str(began)),
        wall_s=float(str(wall)),
        exit_code=int(str(code)),
        revision=str(revision),
        branch=str(branch),
        dirty=None if dirty is None else bool(dirty),
        tests=int(str(tests)),
        failed=int(str(failed)),
        stored_bytes=int(str(size)),
    )
