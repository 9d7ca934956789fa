"""The runs of a project, kept in SQLite: many processes may write, any of them may be killed.

A run is written in one short transaction when it is over: it is there wholly or not at all. The
write-ahead log makes what is committed outlive the death of any process.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Container, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dockwright.errors import StoreError
from dockwright.measure.record import RunRecord
from dockwright.measure.rows import (
    HEAD,
    PastTest,
    StoredRun,
    drop_names,
    insert_run,
    insert_tests,
    stored,
)
from dockwright.measure.schema import NewerStoreError, is_sound, migrate

_DAY_S = 86_400.0
_RETRY_S = 0.05
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SUSPECT = (*_DAMAGE, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
"""Also what tables say that are not as we made them: one is missing, or rows of it are."""

_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How runs are kept.

    Attributes:
        keep_days: the age at which a run goes; 0: none goes for its age.
        keep_runs: how many runs there are at most; 0: any number.
        busy_s: how long to wait for other writers, in seconds.
    """

    keep_days: int = 90
    keep_runs: int = 200
    busy_s: float = 5.0


class RunStore:
    """The kept runs of one project.

    Args:
        file: the database; made, with its directory, by the first writer.
        options: how runs are kept.
    """

    def __init__(self, file: Path, options: StoreOptions | None = None) -> None:
        self.file = file
        self._options = options or StoreOptions()

    def add(self, record: RunRecord) -> Path | None:
        """Keep a run, and drop those that are too old or too many.

        Returns:
            Where the store was set aside, if it was damaged; the run is in a new one.

        Raises:
            StoreError: it cannot be written; tells why.
        """
        aside: Path | None = None
        with self._translated("keep the run"):
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._add(record)
            except (sqlite3.DatabaseError, ValueError) as failure:
                if not _is_suspect(failure):
                    raise
                aside = self._set_aside()
                self._add(record)
        return aside

    def runs(self, limit: int | None = None) -> list[StoredRun]:
        """Return the heads of the kept runs, the newest first."""
        with self._reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                f"SELECT {HEAD} FROM runs ORDER BY began DESC, id DESC LIMIT ?",  # noqa: S608
                [-1 if limit is None else limit],
            )
            return [stored(row) for row in rows]

    def load(self, run: str) -> RunRecord:
        """Return a kept run.

        Raises:
            StoreError: there is no such run, or it cannot be read.
        """
        with self._reading() as connection:
            found = "SELECT document FROM runs WHERE id = ?"
            row = connection.execute(found, [run]).fetchone() if connection else None
        if row is None:
            raise StoreError(f"no run {run} is kept", hint="`dockwright runs ls` shows them")
        try:
            return RunRecord.from_json(json.loads(zlib.decompress(row[0])))
        except (ValueError, zlib.error) as exc:
            raise StoreError(f"run {run} in {self.file} cannot be read: {exc}") from exc

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

    # -- writing -----------------------------------------------------------------------------

    def _forget_dead_projects(self) -> None:
        """Delete the stores beside a new one that nobody has written for as long as runs stay."""
        before = time.time() - self._options.keep_days * _DAY_S
        for other in self.file.parent.glob(f"*{self.file.suffix}"):
            with suppress(FileNotFoundError):  # another new store is about it too
                if self._options.keep_days and other.stat().st_mtime < before:
                    for suffix in _FILES:
                        Path(f"{other}{suffix}").unlink(missing_ok=True)

    def _add(self, record: RunRecord) -> None:
        if not self.file.exists():
            self._forget_dead_projects()
        document = zlib.compress(json.dumps(record.to_json(), separators=(",", ":")).encode())
        with closing(self._opened("rwc")) as connection, _transaction(connection):
            insert_run(connection, record, document)
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
        with self._translated("read the kept runs"):
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
        """Be the only one who sets the store aside.

        Raises:
            StoreError: somebody else does, and does not end.
        """
        deadline = time.monotonic() + self._options.busy_s
        with Path(f"{self.file}.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StoreError(f"{self.file} is being set aside by somebody") from None
                    threading.Event().wait(_RETRY_S)  # it is a matter of milliseconds
                else:
                    break
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
            hint = "move the file away: the next run makes a new one" if _is_damage(exc) else None
            raise StoreError(f"cannot {doing}: {self.file}: {exc}", hint=hint) from exc


def _is_damage(failure: Exception, codes: Container[int] = _DAMAGE) -> bool:
    """Tell whether a failure is of a store whose content is not what was written."""
    if isinstance(failure, ValueError):
        return True  # a text that is no UTF-8, a number that is none
    return getattr(failure, "sqlite_errorcode", 0) & 0xFF in codes  # the rest tells it more exactly


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
