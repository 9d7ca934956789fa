"""Brings a cluster back where a test changed nothing but rows and sequences."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dockwright._text import counted
from dockwright.errors import StackError
from dockwright.model import Trace
from dockwright.reset.postgres.baseline import Baseline
from dockwright.reset.postgres.history import Blocks, History, Touched
from dockwright.reset.postgres.session import Access, PostgresSession
from dockwright.reset.postgres.survey import FullState, QuickState
from dockwright.reset.postgres.undo import MoreThanRowsError, Relation, Undone, undo
from dockwright.reset.session import ConnectionLostError, closed_on_failure

_MOST_REMOVED = 10_000
_MOST_REMOVED_PER_PAGE = 10

REST_S = 1.0
_SERVERS_PATIENCE_MS = 3000  # the server waits 5 s for others to leave a database
_ENDED_BY_SERVER = f"SET idle_session_timeout = {_SERVERS_PATIENCE_MS}"


class IdleSessions:
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

    def __enter__(self) -> IdleSessions:
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
            with closed_on_failure(session.close):
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
        history: knows what was written since the baseline.
        curious: whether to count rows.

    Attributes:
        traces: what was brought back.
        touched: the blocks that were written to, by the OID of their database, as far as the log
            was read.
    """

    def __init__(
        self,
        visits: IdleSessions,
        session: PostgresSession,
        baseline: Baseline,
        history: History,
        *,
        curious: bool = False,
    ) -> None:
        self._curious = curious
        self.traces: list[Trace] = []
        self.touched: Mapping[int, Blocks] = {}
        self._visits = visits
        self._session = session
        self._baseline = baseline
        self._history = history
        self._crowded: dict[str, list[str]] = {}  # tables to tidy, by database

    def run(
        self, quick_state: QuickState, *, last: QuickState, likely: set[str]
    ) -> QuickState | None:
        """Try it.

        Args:
            quick_state: what the cluster looked like a moment ago.
            last: what it looked like when it was last clean.
            likely: the databases that will probably have to be entered; replaced by those that
                were.

        Returns:
            What the cluster looks like as long as nobody writes to it; None where more was changed
            than rows, or may have been: everything has to be brought back then.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if (
            quick_state.locks
            or replace(quick_state, next_transaction=last.next_transaction) != last
        ):
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
        touched = self._history.touched(self._session)
        self.touched = touched.databases
        if not self._history.is_kept:
            raise MoreThanRowsError("a test dropped our replication slot")
        dirty = self._dirty(touched)
        self._crowded.clear()
        undone = {
            self._baseline.kept[name].oid: self._undo(name, blocks)
            for name, blocks in dirty.items()
        }
        likely.clear()
        likely.update(dirty)
        if undone:
            touched = self._checked(touched, undone)
        if self._crowded:
            touched = self._tidied(touched)
        self._history.start_at(touched.end)
        return replace(last, next_transaction=touched.next_transaction)

    def _checked(self, before: Touched, undone: dict[int, Undone]) -> Touched:
        """Return what was written meanwhile: nothing but what was brought back.

        Others may have written, or an event trigger that fires always.
        """
        self._history.start_at(before.end)
        ours = [number for each in undone.values() for number in each.transactions]
        after = self._history.touched(self._session, ours)
        side_effects = [
            database
            for database, blocks in after.ours.items()
            if database not in undone or blocks.keys() - undone[database].files
        ]
        if after.databases or after.unknown or side_effects:
            raise MoreThanRowsError(f"meanwhile, this was written: {after}")
        return after

    def _dirty(self, touched: Touched) -> dict[str, Blocks]:
        """Return the blocks that were written to, by database."""
        if touched.unknown:
            raise MoreThanRowsError(f"the log has {', '.join(touched.unknown)}")
        names = {kept.oid: name for name, kept in self._baseline.kept.items()}
        if others := touched.databases.keys() - names.keys():
            baseline = self._baseline
            now = FullState.take(self._session, version=baseline.version, names=baseline.names)
            known = {0, *(each.oid for each in now.databases.values() if each.ours)}
            if not others <= known or not self._is_same_outside(now):
                raise MoreThanRowsError("what all databases share was changed")
        return {names[oid]: blocks for oid, blocks in touched.databases.items() if oid in names}

    def _is_same_outside(self, now: FullState) -> bool:
        """Return whether all that the databases share is as it was."""
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

    def _undo(self, name: str, blocks: Blocks) -> Undone:
        kept = self._baseline.kept[name]
        kept.activity = None
        session, found = self._visits.enter(name, Relation.question(blocks.keys()))
        relations = [Relation(**each) for each in found]
        since = self._baseline.transaction + 1
        undone = undo(session, relations, kept.stood, blocks, since=since, counts=self._curious)
        self.traces += _traces(name, relations, undone)
        for each in relations:
            removed = kept.removed.get(each.oid, 0) + undone.removed.get(each.oid, 0)
            kept.removed[each.oid] = removed
            if removed > _MOST_REMOVED + _MOST_REMOVED_PER_PAGE * each.pages:
                self._crowded.setdefault(name, []).append(each.name)
                kept.removed[each.oid] = 0
        return undone

    def _tidied(self, before: Touched) -> Touched:
        """Give back the space of removed row versions, which nothing else would find."""
        for name, tables in self._crowded.items():
            session, _ = self._visits.enter(name, "SELECT '1'")
            for table in tables:
                session.run(f"VACUUM (SKIP_LOCKED) {table}")
        self._history.start_at(before.end)
        return self._history.touched(self._session)


def _traces(database: str, relations: Iterable[Relation], undone: Undone) -> Iterator[Trace]:
    """Return what was brought back in one database; rows only if they were counted."""
    for each in relations:
        name = f"{database}.{each.name}"
        new, old = undone.rows.get(each.oid, (0, 0))
        if each.kind == "S":
            yield Trace("sequence", name, "advanced")
        elif each.kind in "rm" and (new or old):
            yield Trace("table", name, rows_changed(new, old))


def rows_changed(new: int, old: int) -> str:
    """Return in words what happened to the rows of a table.

    Args:
        new: how many others see that they did not see before.
        old: how many they do not see any more; a row that was changed is in both.
    """
    changed = min(new, old)
    numbers = {"added": new - changed, "changed": changed, "deleted": old - changed}
    return ", ".join(f"{counted(count, 'row')} {how}" for how, count in numbers.items() if count)
