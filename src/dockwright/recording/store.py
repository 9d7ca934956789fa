"""The recorded runs of a project, in SQLite: many processes may write, and any may be killed.

A run is written in one short transaction when it is over: it is stored completely or not at all.
The write-ahead log preserves what is committed, whatever process dies.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dockwright._files import locked
from dockwright._text import counted
from dockwright.errors import StoreError
from dockwright.recording.record import RunRecord, TestRecord
from dockwright.settings import RECORD_DAYS, RECORD_RUNS
from dockwright.untrusted import json_value

_DAY_S = 86_400.0
_RETRY_S = 0.05
_RECORD_BYTES = 256 << 20
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SUSPECT = (*_DAMAGE, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
"""Also what tables say that are not as we made them: one is missing, or rows of it are."""

_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How long and how many runs are stored.

    Attributes:
        keep_days: the age at which a run goes; 0: none goes for its age.
        keep_runs: how many runs there are at most; 0: any number.
        busy_s: how long to wait for other writers, in seconds.
    """

    keep_days: int = RECORD_DAYS
    keep_runs: int = RECORD_RUNS
    busy_s: float = 5.0


class RunStore:
    """The recorded runs of one project.

    Args:
        file: the database; made, with its directory, by the first writer.
        options: how long and how many runs are stored.
    """

    def __init__(self, file: Path, options: StoreOptions | None = None) -> None:
        self.file = file
        self._options = options or StoreOptions()

    def add(self, *records: RunRecord) -> Path | None:
        """Keep runs, all or none, and drop those that are too old or too many.

        Returns:
            Where the store was set aside, if it was damaged; the runs are in a new one.

        Raises:
            StoreError: it cannot be written; the message says why.
        """
        aside: Path | None = None
        with self._translated("save the run"):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._add(records)
            except (sqlite3.DatabaseError, ValueError) as failure:
                if not _is_suspect(failure):
                    raise
                aside = self._set_aside()
                self._add(records)
        return aside

    def runs(self, limit: int | None = None) -> list[StoredRun]:
        """Return the heads of the recorded runs, newest first."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                f"SELECT {HEAD} FROM runs ORDER BY began DESC, id DESC LIMIT ?",  # noqa: S608
                [-1 if limit is None else limit],
            )
            return [stored(row) for row in rows]

    def load(self, run: str, *, without: Iterable[str] = ()) -> RunRecord:
        """Return a recorded run.

        Args:
            run: its id.
            without: names of fields to leave empty; samples and tests take most of the time.

        Raises:
            StoreError: there is no such run, or it cannot be read.
        """
        with self._reading() as connection:
            found = "SELECT document FROM runs WHERE id = ?"
            row = connection.execute(found, [run]).fetchone() if connection else None
        if row is None:
            raise StoreError(
                f"no recorded run {run}", hint="list the runs with `dockwright runs ls`"
            )
        try:
            values = json_value(_decompressed(row[0]))
            for name in without:
                values.pop(name, None)
            return RunRecord.from_json(values)
        except (AttributeError, TypeError, ValueError, zlib.error) as exc:
            raise StoreError(
                f"cannot read run {run} in {self.file}: {exc}",
                hint=f"its record is damaged; `dockwright runs rm {run}` removes it",
            ) from exc

    def document(self, run: str) -> Mapping[str, Any]:
        """Return the JSON of a recorded run without decoding it; empty if it cannot be read.

        `load` takes ten times as long for a large suite.
        """
        with self._reading() as connection:
            found = "SELECT document FROM runs WHERE id = ?"
            row = connection.execute(found, [run]).fetchone() if connection else None
        try:
            document = json_value(_decompressed(row[0])) if row else {}
        except (TypeError, ValueError, zlib.error):
            return {}
        return document if isinstance(document, Mapping) else {}

    def machines(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the id and the machine of each recorded run, newest first."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute("SELECT id, machine FROM runs ORDER BY began DESC, id DESC")
            return [(run, json_value(machine)) for run, machine in rows]

    def remove(self, runs: Iterable[str]) -> int:
        """Forget runs; return how many there were."""
        with self._reading() as connection:
            if connection is None:
                return 0
            with _transaction(connection):
                gone = sum(
                    connection.execute("DELETE FROM runs WHERE id = ?", [run]).rowcount
                    for run in runs
                )
                drop_names(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def history(self, runs: int = 20, nodeids: Iterable[str] | None = None) -> list[PastTest]:
        """Return what tests did in the latest runs, the newest run first.

        Args:
            runs: how many runs to look back.
            nodeids: of the tests; None: of all.
        """
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT nodeid, run, began, outcome, tests.wall, queue, lane FROM tests "
                "JOIN names ON names.number = tests.name JOIN "
                "(SELECT id, began FROM runs ORDER BY began DESC LIMIT ?) ON id = run "
                "ORDER BY began DESC, run, nodeid, attempt",
                [runs],
            ).fetchall()
        wanted = None if nodeids is None else set(nodeids)
        return [PastTest(*row) for row in rows if wanted is None or row[0] in wanted]

    def tests_of(self, runs: Sequence[str]) -> list[PastTest]:
        """Return what tests did in some runs, in the order of the runs."""
        found: list[PastTest] = []
        with self._reading() as connection:
            if connection is None:
                return found
            for run in runs:
                rows = connection.execute(
                    "SELECT nodeid, run, began, outcome, tests.wall, queue, lane FROM tests "
                    "JOIN names ON names.number = tests.name JOIN runs ON runs.id = run "
                    "WHERE run = ? ORDER BY name, attempt",
                    [run],
                )
                found += [PastTest(*row) for row in rows]
        return found

    # -- writing -----------------------------------------------------------------------------

    def _forget_dead_projects(self) -> None:
        """Delete stores of other projects that were not written for as long as runs are kept."""
        before = time.time() - self._options.keep_days * _DAY_S
        for other in self.file.parent.glob(f"*{self.file.suffix}"):
            with suppress(FileNotFoundError):  # another new store is about it too
                if self._options.keep_days and other.stat().st_mtime < before:
                    for suffix in _FILES:
                        Path(f"{other}{suffix}").unlink(missing_ok=True)

    def _add(self, records: Iterable[RunRecord]) -> None:
        if not self.file.exists():
            self._forget_dead_projects()
        with closing(self._opened("rwc")) as connection, _transaction(connection):
            for record in records:
                document = json.dumps(record.to_json(), separators=(",", ":")).encode()
                insert_run(connection, record, zlib.compress(document))
                insert_tests(connection, record)
            self._prune(connection)

    def _prune(self, connection: sqlite3.Connection) -> None:
        days, most = self._options.keep_days, self._options.keep_runs
        gone = 0
        if days:
            before = time.time() - days * _DAY_S
            gone += connection.execute("DELETE FROM runs WHERE began < ?", [before]).rowcount
        if most:
            gone += connection.execute(
                "DELETE FROM runs WHERE id NOT IN "
                "(SELECT id FROM runs ORDER BY began DESC, id DESC LIMIT ?)",
                [most],
            ).rowcount
        if gone:
            drop_names(connection)

    def _set_aside(self) -> Path:
        """Rename a damaged store; of several that find it so, one does."""
        aside = self.file.with_name(f"{self.file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        with self._locked():
            if self._is_damaged():
                for suffix in _FILES:
                    with suppress(FileNotFoundError):
                        Path(f"{self.file}{suffix}").rename(f"{aside}{suffix}")
        return aside

    def _is_damaged(self) -> bool:
        try:
            with closing(self._opened("rw")) as connection:
                return not is_sound(connection)
        except (sqlite3.DatabaseError, ValueError) as failure:
            return _is_suspect(failure)

    # -- opening -----------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Open the store; None where there is none yet."""
        with self._translated("read the recorded runs"):
            if not self.file.exists():
                yield None
                return
            with closing(self._opened("rw")) as connection:
                yield connection

    def _opened(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.file.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._options.busy_s,
            isolation_level=None,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Switch the log on, and bring the tables to this version."""
        deadline = time.monotonic() + self._options.busy_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                migrate(connection)
            except sqlite3.OperationalError as failure:
                # For the switch to the log SQLite itself does not wait.
                if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                threading.Event().wait(_RETRY_S)  # another process makes the same tables
            else:
                return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock for renaming a damaged store.

        Raises:
            StoreError: another process holds it for too long.
        """
        lock = Path(f"{self.file}.lock")
        with locked(lock, create=True, timeout_s=self._options.busy_s) as held:
            if not held:
                raise StoreError(f"{self.file}: another process is still setting it aside")
            yield

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except NewerStoreError as exc:
            raise StoreError(
                f"cannot {doing}: a newer dockwright wrote {self.file}",
                hint="update dockwright, or move the file away",
            ) from exc
        except (sqlite3.Error, OSError, ValueError) as exc:
            hint = (
                "move the file away; the next run creates a new one" if _is_suspect(exc) else None
            )
            reason = getattr(exc, "strerror", None) or exc
            raise StoreError(f"cannot {doing}: {self.file}: {reason}", hint=hint) from exc


def _decompressed(document: bytes) -> bytes:
    content = zlib.decompressobj().decompress(document, _RECORD_BYTES)
    if len(content) == _RECORD_BYTES:
        raise ValueError(f"it is longer than {_RECORD_BYTES >> 20} MiB")
    return content


def _is_damage(failure: Exception, codes: Container[int] = _DAMAGE) -> bool:
    """Return whether a failure means that the content of the store is damaged."""
    if isinstance(failure, ValueError):
        return True  # not UTF-8, or not a number
    return getattr(failure, "sqlite_errorcode", 0) & 0xFF in codes  # the other bits are details


def _is_suspect(failure: Exception) -> bool:
    return _is_damage(failure, _SUSPECT)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


HEAD = (
    "id, began, wall, exit_code, revision, branch, dirty, tests, failed, length(document), machine"
)
"""The columns of a `StoredRun`."""

_FAILED = ("failed", "error")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The head of a recorded run.

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
        machine: processor and number of cores; empty: unknown.
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
    machine: str = ""


@dataclass(frozen=True, slots=True)
class PastTest:
    """One attempt at a test in one recorded run.

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
    """Delete the names of tests that no recorded run contains."""
    connection.execute(
        "DELETE FROM names WHERE NOT EXISTS (SELECT 1 FROM tests WHERE tests.name = names.number)"
    )


def stored(row: Sequence[object]) -> StoredRun:
    """Return the head of a run from a row of `HEAD`."""
    run, began, wall, code, revision, branch, dirty, tests, failed, size, machine = row
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
        machine=_machine_of(str(machine)),
    )


@cache
def _machine_of(stored_machine: str) -> str:
    machine = json_value(stored_machine)
    cpu, cores = machine.get("cpu", ""), machine.get("cores", 0)
    return f"{cpu}, {counted(cores, 'core')}" if cpu else ""


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
        raise NewerStoreError(f"this version reads stores up to version {len(MIGRATIONS)}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)  # another process may have been first
        for step in MIGRATIONS[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:  # also Ctrl-C: all migrations or none
        connection.execute("ROLLBACK")
        raise


def is_sound(connection: sqlite3.Connection) -> bool:
    """Return whether a store has its tables and columns, with consistent content.

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
