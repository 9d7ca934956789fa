"""Brings a PostgreSQL cluster back while it runs: by undo, or by swapping databases for copies.

At the baseline every database is cloned to a template that nobody may enter. Where a test changed
nothing but rows and sequences, as the write-ahead log tells, that is undone where the rows lie;
nobody loses a connection. Otherwise a reset ends the sessions in the dirty databases and renames:
dirty ones away, spare clones into their place; behind it the dirty ones are dropped and new spares
made.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from dockwright.errors import StackBrokenError, StackError
from dockwright.model import Trace
from dockwright.reset.base import Manner, Resettable, check_options
from dockwright.reset.postgres.baseline import Baseline, capture, make_spare
from dockwright.reset.postgres.cluster import TRASH, Cluster, spare_name
from dockwright.reset.postgres.entrance import enter
from dockwright.reset.postgres.explain import committed, explain
from dockwright.reset.postgres.history import Blocks, History
from dockwright.reset.postgres.restore import Restoration
from dockwright.reset.postgres.rows import IdleSessions, RowRestoration
from dockwright.reset.postgres.session import Access, PostgresSession
from dockwright.reset.postgres.survey import PREFIX, FullState, QuickState
from dockwright.reset.session import ConnectionLostError

log = logging.getLogger(__name__)


_MOST_TRASH = 2


class PostgresReset:
    """Resets a service that is a PostgreSQL server (12 or later) with a superuser's password.

    What cannot be undone in place (configuration files, tablespaces, subscriptions, settings that
    took a restart, a server that is gone) is found and raised.
    """

    manner: Manner = "in place"
    owns = re.compile(r"postmaster\.(pid|opts)|(postgresql\.auto\.conf|current_logfiles)(\.tmp)?")

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._reset_waits = False
        self._closed = False
        self._access: Access
        self._session: PostgresSession | None = None
        self._visits: IdleSessions | None = None
        self._history: History | None = None
        self._baseline: Baseline
        self._clean: QuickState  # what it looks like as long as nobody writes to it
        self._counted = True  # whether the number of the next transaction in it is sure
        self._spares_wanted: set[int] = set()
        self._likely: set[str] = set()
        self.undone: list[Trace] = []
        self.curious = False
        self._tidier: threading.Thread | None = None
        self._tidied = False  # whether surely no chore is left

    def capture(self) -> None:
        """Clone all databases and remember the rest.

        Raises:
            StackError: no connection as superuser, or a cluster that cannot be cloned.
        """
        with self._lock:
            self._disconnect()
            self._tidied = False
            self._access, self._session, version = enter(self._service)
            self._access = replace(self._access, major=version // 10000)
            self._visits = IdleSessions(self._access)
            self._history = History.of(self._access, self._session, version)
            self._baseline = capture(self._access, self._session, version)
            self._likely = {name for name, each in self._baseline.kept.items() if each.in_use}
            if self._history is not None and self._baseline.has_unlogged:
                self._history.forget(self._session)  # the log does not tell of them
                self._history = None
            self._clean, self._counted = self._baseline.quick_state, True
            self._spares_wanted = {
                kept.original
                for kept in self._baseline.kept.values()
                if kept.in_use and self._history is None
            }
            if self._history is not None:
                self._history.start_at(self._baseline.position)
        self._tidy_up()

    def reset(self) -> bool:
        """Bring the cluster back, unless nothing was written to it.

        Returns:
            Whether its clients lost their connections.

        Raises:
            StackBrokenError: it could not.
        """
        with self._interrupted_chores():
            try:
                disturbed = self._bring_back()
            except StackError as failure:
                name = self._service.spec.name
                raise StackBrokenError(
                    f"service {name}: cannot be reset in place: {failure.message}"
                ) from failure
        return disturbed

    def untouched(self) -> bool:
        """Return whether surely nothing was written to the cluster; one question answers that."""
        with self._interrupted_chores():
            try:
                _, quick_state = self._look()
            except StackError as failure:
                log.debug("reset.postgres.untouched %s: %s", self._service.spec.name, failure)
                return False
            return self._is_clean(quick_state)

    def close(self) -> None:
        """End the connection and the work behind it."""
        self._closed = True
        self._disconnect()
        if self._tidier is not None:
            self._tidier.join()

    def _bring_back(self) -> bool:
        self.undone = []
        session, quick_state = self._look()
        if self._is_clean(quick_state):
            return False
        self._tidied = False
        cluster = Cluster(self._access, session)
        touched: Mapping[int, Blocks] = {}
        if self._history is not None and self._visits is not None:
            rows = RowRestoration(
                self._visits, session, self._baseline, self._history, curious=self.curious
            )
            clean = rows.run(quick_state, last=self._clean, likely=self._likely)
            if clean is not None:
                self._clean, self.undone = clean, rows.traces
                return False
            touched = rows.touched
            self._visits.end()
            self._drop_trash(session)
        restoration = Restoration(cluster, self._baseline, quick_state, last=self._clean)
        if self.curious:
            wrote = committed(cluster, self._clean, quick_state)
            known = touched if wrote else {}
            self.undone = explain(cluster, self._baseline, restoration, quick_state, known)
            if wrote and not touched and not self.undone:
                self.undone = [Trace("rows", "", "perhaps changed", certain=False)]
        self._clean = restoration.run()
        self._counted = True
        if restoration.reloaded:  # each process has a time of its own at which it was told
            self._disconnect()
            session, quick_state = self._look()
            self._clean = replace(self._clean, loaded=quick_state.loaded)
        if self._history is not None:
            self._history.start_at(restoration.position)
            if not self._history.is_kept:
                self._history.keep(session)
        self._spares_wanted |= {kept.original for kept in restoration.changed.values()}
        return True

    def _is_clean(self, quick_state: QuickState) -> bool:
        return self._counted and self._baseline.leaves_traces and quick_state == self._clean

    def _drop_trash(self, session: PostgresSession) -> None:
        trash = _trash(FullState.oids(session))
        if len(trash) > _MOST_TRASH:
            for name in trash:
                session.run(f"DROP DATABASE {name}")

    def _look(self) -> tuple[PostgresSession, QuickState]:
        """Return a session in our own database, and what the cluster looks like."""
        if self._session is not None:
            try:
                return self._session, QuickState.take(self._session)
            except ConnectionLostError as loss:  # ended by the test, or the server was restarted
                log.debug("reset.postgres.lost service=%s: %s", self._service.spec.name, loss)
                self._disconnect()
        session = self._session = self._access.connect(PREFIX)
        return session, QuickState.take(session)

    # -- behind it ---------------------------------------------------------------------------

    @contextmanager
    def _interrupted_chores(self) -> Iterator[None]:
        """Have the server for the block; chores that are left are done after it."""
        self._reset_waits = True  # the tidier ends after what it does now
        with self._lock:
            self._reset_waits = False
            yield
        if not self._tidied:
            self._tidy_up()

    def _tidy_up(self) -> None:
        self._tidier = threading.Thread(
            target=self._do_chores, name=f"tidy {self._service.spec.name}", daemon=True
        )
        self._tidier.start()

    def _do_chores(self) -> None:
        while not (self._reset_waits or self._closed):
            with self._lock:
                try:
                    if self._session is None or not self._do_chore(self._session):
                        self._tidied = True
                        return
                except StackError as failure:  # the next reset finds out what is the matter
                    log.debug("reset.postgres.tidy %s: %s", self._service.spec.name, failure)
                    self._counted = False
                    return

    def _do_chore(self, session: PostgresSession) -> bool:
        """Do the most useful thing that is left to do; return whether there was one.

        Each is one transaction, which `_clean` has to know of. It is sure to be no more
        than that: both write to pg_database, so that they have one number at least; if one had two,
        the next reset would take that for a change and do its work.
        """
        names = FullState.oids(session)
        missing = [
            kept
            for kept in self._baseline.kept.values()
            if kept.original in self._spares_wanted and spare_name(kept.original) not in names
        ]
        # Dropping makes a checkpoint, and holds locks that a test would see for as long.
        trash = _trash(names) if self._history is None else []
        if self._history is not None and self._history.is_long and self._clean.next_transaction:
            self._history.shorten(session, self._clean.next_transaction)
            return True
        if missing:
            make_spare(Cluster(self._access, session), missing[0])
        elif trash:
            session.run(f"DROP DATABASE {trash[0]}")
        else:
            return False
        self._clean = replace(self._clean, next_transaction=self._clean.next_transaction + 1)
        return True

    def _disconnect(self) -> None:
        if self._visits is not None:
            self._visits.end()
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _trash(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(TRASH)]
