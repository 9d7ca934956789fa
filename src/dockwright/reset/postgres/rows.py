"""Brings a cluster back where a test changed nothing but rows of small tables, and sequences."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dockwright.errors import StackError
from dockwright.reset.postgres.baseline import Baseline
from dockwright.reset.postgres.cluster import EPOCH, OWNERS, MoreThanRowsError, Restored
from dockwright.reset.postgres.session import (
    Access,
    DriverSession,
    PostgresSession,
    StatementError,
    array,
    quoted,
)
from dockwright.reset.postgres.survey import FullState, QuickState
from dockwright.reset.session import ConnectionLostError

_OLDEST = 150000
"""`pg_walinspect` came with this version; the official images have it."""

# The end of a transaction that has logged something is written out, and with it all that came
# before: also what was rolled back, or committed without waiting for that.
_WRITE_OUT = """
SELECT set_config('dockwright.position', jsonb_build_array(
  -- Our own number is the next one, unless others are about to write.
  CASE WHEN txid_snapshot_xmin(now) = txid_snapshot_xmax(now) THEN txid_snapshot_xmax(now) + 1
    ELSE 0 END,
  pg_logical_emit_message(true, '', ''))::text, false)
FROM txid_current_snapshot() now
"""

_TOUCHED = r"""
WITH position AS MATERIALIZED (
  SELECT current_setting('dockwright.position')::jsonb AS position
), records AS MATERIALIZED (
  SELECT CASE resource_manager
      WHEN 'Storage' THEN regexp_replace(description, '^base/(\d+)/(\d+).*', 'rel 0/\1/\2 ')
      WHEN 'RelMap' THEN regexp_replace(description, '^database (\d+).*', 'rel 0/\1/0 ')
      ELSE coalesce(block_ref, '') END AS place,
    resource_manager AS manager, record_type AS type, xid::text::bigint AS transaction
  FROM position, pg_get_wal_records_info(%(start)s, (position->>1)::pg_lsn)
  -- Whoever reads a page may tidy it: that leaves its rows as they are. And what a decoder of
  -- the log is told of a change to a catalog stands beside that change.
  WHERE record_type !~ '^(PRUNE|VACUUM|VISIBLE|FREEZE|FPI_FOR_HINT|NEW_CID)')
SELECT jsonb_build_object(
  'next_transaction', position->0,
  'end', position->1,
  'relations', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_array(
      found[1]::bigint, found[2]::bigint, transaction = ANY(%(ours)s))), '[]')
    FROM records, regexp_matches(place, 'rel \d+/(\d+)/(\d+) ', 'g') AS found),
  'others', (SELECT coalesce(jsonb_agg(DISTINCT manager || ' ' || type), '[]')
    FROM records WHERE place NOT LIKE '%%rel %%')
)::text FROM position
"""

_HARMLESS = {
    "CLOG",
    "CommitTs",
    "Database",
    "LogicalMessage",
    "MultiXact",
    "Standby",
    "Transaction",
    "XLOG",
}
"""Records of these resource managers that name no relation change no table's content. What makes
and drops databases changes `pg_database`, which is looked at on its own."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What was written to.

    Attributes:
        relations: file numbers by the OID of their database; 0 is for the shared catalogs.
        ours: those that our own transactions wrote to.
        unknown: kinds of log records of which nobody knows what they mean for a table.
        end: up to where the log was read.
        next_transaction: the number of the first transaction that is surely missing here; 0: others
            were writing, so that nobody knows.
    """

    relations: dict[int, set[int]]
    ours: dict[int, set[int]]
    unknown: Collection[str]
    end: str
    next_transaction: int


class WriteAheadLog:
    """Reads the log of a cluster from a remembered position on.

    Args:
        session: in a database of our own, where an extension does not matter.
    """

    def __init__(self, session: PostgresSession) -> None:
        self._start = ""
        session.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect")

    @staticmethod
    def of(session: PostgresSession, version: int) -> WriteAheadLog | None:
        """Return the log, or None where the server cannot tell it."""
        if version < _OLDEST:
            return None
        try:
            return WriteAheadLog(session)
        except StatementError:  # an image without the extension
            return None

    def start_at(self, position: str) -> None:
        """Remember a position: what was written from there on counts."""
        self._start = position

    def touched(self, session: PostgresSession, ours: Collection[int] = ()) -> Touched:
        """Return what was written to since the remembered position.

        Args:
            session: in a database of our own.
            ours: the numbers of our own transactions.

        Raises:
            StatementError: the log from then is not there any more.
        """
        numbers = array([number % EPOCH for number in ours])
        told = session.ask(
            "BEGIN",
            _WRITE_OUT,
            "COMMIT",
            _TOUCHED % {"start": quoted(self._start), "ours": numbers},
        )
        relations: dict[bool, dict[int, set[int]]] = {False: {}, True: {}}
        for database, file, mine in told["relations"]:
            relations[mine].setdefault(database, set()).add(file)
        unknown = {
            each
            for each in told["others"]
            if each.partition(" ")[0] not in _HARMLESS or each == "Transaction PREPARE"
        }
        return Touched(
            relations[False],
            relations[True],
            unknown,
            end=told["end"],
            next_transaction=told["next_transaction"],
        )


REST_S = 1.0
_SERVERS_PATIENCE_MS = 3000  # the server waits 5 s for others to leave a database
_ENDED_BY_SERVER = f"SET idle_session_timeout = {_SERVERS_PATIENCE_MS}"


class Visits:
    """The sessions of one strategy; used by one thread at a time, in blocks.

    After a block the sessions rest, and are there for the next one if it begins within `REST_S`.

    Args:
        access: how to connect.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._sessions: dict[str, Future[PostgresSession]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Visits:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0]:
            self.end()
        elif self._sessions:
            with self._lock:
                self._timer = threading.Timer(REST_S, self._end_rest)
                self._timer.daemon = True
                self._timer.start()

    def expect(self, names: Iterable[str]) -> None:
        """Begin to connect to databases that will probably have to be entered."""
        for name in names:
            if name not in self._sessions:
                future = self._sessions[name] = Future()
                threading.Thread(target=self._connect, args=(name, future), daemon=True).start()

    def enter(self, name: str, question: str) -> tuple[PostgresSession, Any]:
        """Return a session in a database, and what it answers to a question.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if name in self._sessions:
            session = self._sessions[name].result()
            with suppress(ConnectionLostError):  # ended by the test, or the server was restarted
                return session, session.ask(question)
            session.close()
        self._sessions[name] = Future()
        self._connect(name, self._sessions[name])
        session = self._sessions[name].result()
        return session, session.ask(question)

    def end(self) -> None:
        """End all sessions."""
        sessions, self._sessions = self._sessions, {}
        for each in sessions.values():
            with suppress(StackError):  # there is nothing to close
                each.result().close()

    def _end_rest(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer = None
                self.end()

    def _connect(self, name: str, future: Future[PostgresSession]) -> None:
        try:
            session = self._access.connect(name)
            session.run(_ENDED_BY_SERVER)
        except BaseException as failure:  # noqa: BLE001 - raised again where it is asked for
            future.set_exception(failure)
        else:
            future.set_result(session)


log = logging.getLogger(__name__)


class RowRestoration:
    """The way back without a new copy of any database.

    Args:
        visits: sessions in the databases.
        session: in our own database.
        baseline: what the cluster was.
        wal: tells what was written to since it was clean.
    """

    def __init__(
        self, visits: Visits, session: PostgresSession, baseline: Baseline, wal: WriteAheadLog
    ) -> None:
        self._visits = visits
        self._session = session
        self._baseline = baseline
        self._wal = wal

    def run(self, glance: QuickState, *, last: QuickState, likely: set[str]) -> QuickState | None:
        """Try it.

        Args:
            glance: what the cluster looked like a moment ago.
            last: what it looked like when it was last clean.
            likely: the databases that will probably have to be entered; replaced by those that
                were.

        Returns:
            What the cluster looks like as long as nobody writes to it; None where more was changed
            than rows, or may have been: everything has to be brought back then.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if glance.locks or replace(glance, next_transaction=last.next_transaction) != last:
            return None
        with self._visits:
            self._visits.expect(likely)
            for name in likely:
                self._baseline.kept[name].activity = None  # our own sessions count
            try:
                return self._bring_back(likely, last)
            except ConnectionLostError:
                raise
            except StackError as failure:  # more than rows, a lock, a log that is gone already
                log.debug("reset.postgres.rows %s", failure)
                self._visits.end()
                return None

    def _bring_back(self, likely: set[str], last: QuickState) -> QuickState:
        touched = self._wal.touched(self._session)
        restored: dict[int, Restored] = {}
        dirty = self._dirty(touched)
        for name, files in dirty.items():
            kept = self._baseline.kept[name]
            restored[kept.oid] = self._restore(name, files, since=last.next_transaction)
        likely.clear()
        likely.update(dirty)
        if restored:
            touched = self._checked(touched, restored)
        self._wal.start_at(touched.end)
        return replace(last, next_transaction=touched.next_transaction)

    def _checked(self, before: Touched, restored: dict[int, Restored]) -> Touched:
        """Return what was written meanwhile: nothing but the rows that were brought back.

        A check or an index may call functions that write elsewhere, and others may have written.
        """
        self._wal.start_at(before.end)
        after = self._wal.touched(self._session, [each.transaction for each in restored.values()])
        side_effects = [
            database
            for database, files in after.ours.items()
            if database not in restored or files - restored[database].files
        ]
        if after.relations or after.unknown or side_effects:
            raise MoreThanRowsError(f"meanwhile, this was written: {after}")
        return after

    def _dirty(self, touched: Touched) -> dict[str, set[int]]:
        """Return the files that were written to, by database."""
        if touched.unknown:
            raise MoreThanRowsError(f"the log has {', '.join(touched.unknown)}")
        names = {kept.oid: name for name, kept in self._baseline.kept.items()}
        if others := touched.relations.keys() - names.keys():
            baseline = self._baseline
            now = FullState.take(self._session, version=baseline.version, names=baseline.names)
            known = {0, *(each.oid for each in now.databases.values() if each.ours)}
            if not others <= known or not self._is_same_outside(now):
                raise MoreThanRowsError("what all databases share was changed")
        return {names[oid]: files for oid, files in touched.relations.items() if oid in names}

    def _is_same_outside(self, now: FullState) -> bool:
        """Tell whether all that the databases share is as it was."""
        then = self._baseline.survey
        found = {name: each for name, each in now.databases.items() if not each.ours}
        wanted = {name: each for name, each in then.databases.items() if not each.ours}
        return (
            replace(now, databases={}) == replace(then, databases={})
            and found.keys() == wanted.keys()
            and all(
                (found[name].oid, found[name].look) == (self._oid_of(name), each.look)
                and (each.open or found[name].row == each.row)
                for name, each in wanted.items()
            )
            and all(kept.has_template(now) for kept in self._baseline.kept.values())
        )

    def _oid_of(self, name: str) -> int:
        kept = self._baseline.kept.get(name)
        return self._baseline.survey.databases[name].oid if kept is None else kept.oid

    def _restore(self, name: str, files: Collection[int], *, since: int) -> Restored:
        kept = self._baseline.kept[name]
        kept.activity = None
        session, owners = self._visits.enter(name, OWNERS.format(files=array(files)))
        if kept.contents is None or not isinstance(session, DriverSession):
            raise MoreThanRowsError("the rows of the database are not known")
        return kept.contents.restore(session, dict(owners), files=len(files), since=since)
