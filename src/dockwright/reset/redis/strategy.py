"""Brings a Redis server back while it runs: keys of all databases, configuration, users, functions.

Keys come back by RESTORE from what DUMP gave at the baseline, their times to live included. The
connections of clients stay, and with them what is their own: subscriptions, blocked calls, WATCH.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import cast

from dockwright.errors import StackBrokenError, StackError, WaitTimeoutError
from dockwright.reset.base import Manner, Resettable
from dockwright.reset.options import check_options
from dockwright.reset.redis.connecting import connect
from dockwright.reset.redis.session import (
    Access,
    Command,
    CommandError,
    ConnectionLostError,
    Session,
)
from dockwright.reset.redis.settings import Settings
from dockwright.reset.redis.vitals import Saving, Vitals
from dockwright.wait import Continue, Outcome, Ready, until

log = logging.getLogger(__name__)

_SAVE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Key:
    database: int
    name: bytes
    dump: bytes
    ttl_ms: int

    def restore(self) -> Command:
        return ("RESTORE", self.name, self.ttl_ms, self.dump)


class RedisReset:
    """Resets a service that is a Redis server, or one that speaks like it."""

    manner: Manner = "in place"

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._access: Access
        self._session: Session | None = None
        self._settings: Settings
        self._keys: list[_Key] = []
        self._settled: Vitals | None = None  # when the settings last were those of the baseline
        self._expires = False
        self._vitals: Vitals  # when the keys last were those of the baseline
        self._clean: Vitals | None = None  # the same, where it surely tells whether they still are

    def capture(self) -> None:
        """Remember keys and settings.

        Raises:
            StackError: no connection, or a server that cannot be written to or asked.
        """
        with self._lock:
            self._disconnect()
            self._access = Access.of(self._service)
            session = self._session = connect(self._access)
            self._settled = None
            self._settings = Settings.take(session)
            before = Vitals.take(session)
            if before.role != "master":
                raise StackError("it is a replica, which cannot be written to")
            self._keys = _keys(session, before)
            self._vitals = Vitals.take(session)
            self._expires = before.fields_expire or any(key.ttl_ms for key in self._keys)
            self._clean = None if self._expires or not before.same_keys(self._vitals) else before

    def reset(self) -> bool:
        """Bring keys and settings back, as far as they were touched.

        Returns:
            False: clients keep their connections.

        Raises:
            StackBrokenError: it could not.
        """
        with self._lock:
            try:
                self._bring_back()
            except StackError as failure:
                name = self._service.spec.name
                raise StackBrokenError(
                    f"service {name}: cannot be reset in place: {failure.message}"
                ) from failure
        return False

    def close(self) -> None:
        """End the connection."""
        self._disconnect()

    def _bring_back(self) -> None:
        session, vitals = self._look()
        if vitals.role != "master":
            session.call(("REPLICAOF", "NO", "ONE"))
        if self._settled is None or not self._settled.same_settings(vitals):
            # What we change ourselves counts too: then the next reset looks again.
            self._settled = None if self._settings.put_back(session) else vitals
        if vitals.scripts and not self._vitals.scripts:
            session.call(("SCRIPT", "FLUSH"))
        if self._clean is None or not self._clean.same_keys(vitals):
            self._restore_keys(session, vitals)

    def _look(self) -> tuple[Session, Vitals]:
        if self._session is not None:
            try:
                return self._session, Vitals.take(self._session)
            except ConnectionLostError as loss:  # restarted by the test
                log.debug("reset.redis.lost service=%s: %s", self._service.spec.name, loss)
                self._disconnect()
        self._session = connect(self._access)
        return self._session, Vitals.take(self._session)

    def _restore_keys(self, session: Session, vitals: Vitals) -> None:
        """Replace all keys at once; what was saved to disk meanwhile is saved anew."""
        same_disk = self._vitals.same_disk(vitals)
        commands: list[Command] = []
        if same_disk:  # FLUSHALL writes a file
            for database in vitals.databases:
                commands += [("SELECT", database), ("FLUSHDB",)]
        else:  # ... and ends a save that is under way
            commands.append(("FLUSHALL",))
        for database, keys in groupby(self._keys, key=attrgetter("database")):
            commands += [("SELECT", database), *(key.restore() for key in keys)]
        saving = Saving.of(session.transaction(*commands, ("INFO", "persistence"))[-1])
        if not same_disk:
            _save(session)
        self._vitals = replace(vitals, saving=saving) if same_disk else Vitals.take(session)
        self._clean = None if self._expires or not same_disk else self._vitals

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _save(session: Session) -> None:
    """Save to disk; a save that FLUSHALL has ended counts as under way for some milliseconds."""

    def attempt() -> Outcome:
        try:
            session.call(("SAVE",))
        except CommandError as refusal:
            if "already in progress" not in refusal.message:
                raise
            return Continue(refusal.message)
        return Ready()

    try:
        until(attempt, subject="an earlier save to end", timeout_s=_SAVE_S)
    except WaitTimeoutError as failure:
        raise StackError(failure.message) from failure


def _keys(session: Session, vitals: Vitals) -> list[_Key]:
    """Return all keys, by database."""
    found: list[_Key] = []
    for database in vitals.databases:
        _, names = session.call(("SELECT", database), ("KEYS", "*"))
        for name in cast("list[bytes]", names):
            dump, ttl_ms = session.call(("DUMP", name), ("PTTL", name))
            if isinstance(dump, bytes) and isinstance(ttl_ms, int):  # else it has expired
                found.append(_Key(database, name, dump, max(ttl_ms, 0)))
    return found
