"""Brings a Redis server back while it runs: keys of all databases, configuration, users, functions.

Keys come back by RESTORE from what DUMP gave at the baseline, their times to live included.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import cast

from dockwright.errors import StackBrokenError, StackError, WaitTimeoutError
from dockwright.reset.base import Manner, Resettable
from dockwright.reset.options import check_options
from dockwright.reset.polling import until_none
from dockwright.reset.redis.clients import LIST as CLIENT_LIST
from dockwright.reset.redis.clients import Clients
from dockwright.reset.redis.connecting import connect
from dockwright.reset.redis.files import Files
from dockwright.reset.redis.session import (
    Access,
    Command,
    CommandError,
    ConnectionLostError,
    Session,
    greet,
    knows,
)
from dockwright.reset.redis.settings import Settings
from dockwright.reset.redis.vitals import QUESTIONS, Vitals, counted_commands
from dockwright.wait import Continue, Outcome, Ready, until

log = logging.getLogger(__name__)

_SAVE_S = 10.0
_TIDYING: tuple[Command, ...] = (
    ("CLIENT", "UNPAUSE"),
    ("SLOWLOG", "RESET"),
    ("LATENCY", "RESET"),
    ("ACL", "LOG", "RESET"),
)
"""What is done at each reset without a look whether it is needed."""


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
    owns = re.compile(r".*\.(rdb|aof)|appendonly.*|nodes.*\.conf|temp-.*")

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._access: Access
        self._session: Session | None = None
        self._counted: frozenset[str]
        self._tidying: list[Command]
        self._settings: Settings
        self._files: Files
        self._clients: Clients
        self._keys: list[_Key] = []
        self._baseline: Vitals
        self._last: Vitals  # the baseline, or the end of the last reset
        self._settled: Vitals | None = None  # when the settings last were those of the baseline
        self._clean: Vitals | None = None  # the same for the keys, if it proves something

    def capture(self) -> None:
        """Remember keys and settings; logs are emptied.

        Raises:
            StackError: no connection, or a server that cannot be written to or asked.
        """
        with self._lock:
            self._disconnect()
            self._access = Access.of(self._service)
            session = self._session = connect(self._access)
            _require_master(Vitals.take(session))
            self._counted = counted_commands(session)
            self._tidying = [command for command in _TIDYING if knows(session, command)]
            self._settings = Settings.take(session)
            self._files = Files(self._service, self._settings.config)
            before = Vitals.take(session, self._counted)
            self._keys = _keys(session, before)
            self._clients = Clients(self._service, *session.call(CLIENT_LIST))
            self._baseline = self._last = Vitals.take(session, self._counted)
            self._settled = None
            self._clean = before if self._proves(before, self._last) else None
            session.call(*self._tidying)

    def reset(self) -> bool:
        """Bring keys and settings back, as far as they were touched.

        Returns:
            False: an application's connections stay.

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
        session = self._awake()
        vitals = self._look(session)
        self._refuse(vitals)
        if vitals.failing_over:
            session.call(("FAILOVER", "ABORT"))
        if vitals.role != "master":
            session.call(("REPLICAOF", "NO", "ONE"))
        if self._settled is None or not self._settled.same_settings(vitals):
            # What we change ourselves counts too: then the next reset looks again.
            changed = self._settings.put_back(
                session,
                functions_ran=self._functions_ran(vitals),
                save_failed=vitals.saving.failed,
            )
            self._settled = None if changed else vitals
        if vitals.scripts and not self._baseline.scripts:
            session.call(("SCRIPT", "FLUSH"))
        if self._clean is None or not self._clean.same_keys(vitals):
            self._restore_keys(session, vitals)
            session.call(*self._tidying)  # restoring many keys may be slow, and logged

    def _awake(self) -> Session:
        """Return a connection to the server, which is not paused any more."""
        if self._session is not None:
            try:
                greet(self._session)
                self._session.call(*self._tidying)
            except ConnectionLostError as loss:  # restarted by the test
                log.debug("reset.redis.lost service=%s: %s", self._service.spec.name, loss)
                self._disconnect()
            else:
                return self._session
        session = self._session = connect(self._access)
        session.call(*self._tidying)
        return session

    def _look(self, session: Session) -> Vitals:
        """Return what the server is now; end connections that a test left."""
        until_none(lambda: int(Vitals.take(session).loading), "keys to load")
        *replies, clients = session.call(*QUESTIONS, CLIENT_LIST)
        vitals = Vitals.of(replies, self._counted)
        if vitals.run != self._last.run:
            self._clients.forget()
        self._clients.end_strangers(session, clients)
        return vitals

    def _refuse(self, vitals: Vitals) -> None:
        """Raise StackBrokenError where something was done that cannot be undone."""
        if drastic := vitals.drastic_since(self._last):
            raise StackBrokenError(f"{', '.join(drastic)} was called, which cannot be undone")
        if vitals.modules != self._baseline.modules:
            raise StackBrokenError("modules were loaded or unloaded")
        flushed = vitals.calls("script|flush") != self._last.calls("script|flush")
        if vitals.scripts < self._baseline.scripts or (self._baseline.scripts and flushed):
            raise StackBrokenError("cached scripts of the baseline were flushed")

    def _functions_ran(self, vitals: Vitals) -> bool:
        known = vitals.orders is not None and vitals.run == self._last.run
        return not known or any(
            vitals.calls(name) != self._last.calls(name) for name in ("fcall", "fcall_ro")
        )

    def _restore_keys(self, session: Session, vitals: Vitals) -> None:
        """Replace all keys at once; then the disk is made what it was."""
        same_disk = self._last.same_disk(vitals)
        if vitals.saving.failed:  # then writes are refused
            _save(session)
        commands: list[Command] = []
        if same_disk:  # FLUSHALL writes a file
            for database, _ in vitals.databases:
                commands += [("SELECT", database), ("FLUSHDB",)]
        else:  # ... and ends a save that is under way
            commands.append(("FLUSHALL",))
        for database, keys in groupby(self._keys, key=attrgetter("database")):
            commands += [("SELECT", database), *(key.restore() for key in keys)]
        replies = session.transaction(*commands, *QUESTIONS)
        now = Vitals.of(replies[-len(QUESTIONS) :], self._counted)
        if now.databases != self._databases():
            raise StackBrokenError("it did not keep all keys of the baseline: is memory too small?")
        if same_disk:
            self._last, self._clean = now, now if self._proves(now, now) else None
        else:
            self._restore_disk(session)
            self._last, self._clean = Vitals.take(session, self._counted), None

    def _restore_disk(self, session: Session) -> None:
        """Let a restart load what it would have loaded at the baseline."""
        until_none(lambda: int(Vitals.take(session).saving.running), "saves under way")
        if self._files.has_dump:
            _save(session)
        self._files.remove_new()

    def _proves(self, before: Vitals, after: Vitals) -> bool:
        """Return whether later vitals, compared with these, tell surely whether keys changed."""
        expires = before.fields_expire or any(key.ttl_ms for key in self._keys)
        return not expires and before.same_keys(after)

    def _databases(self) -> tuple[tuple[int, int], ...]:
        """Return the databases of the baseline as `Vitals` does."""
        lasting = Counter({key.database: 0 for key in self._keys})
        lasting.update(key.database for key in self._keys if not key.ttl_ms)
        return tuple(sorted(lasting.items()))

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _require_master(vitals: Vitals) -> None:
    if vitals.mode != "standalone":
        raise StackError(f"it runs in {vitals.mode} mode")
    if vitals.role != "master":
        raise StackError("it is a replica, which cannot be written to")


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
    for database, _ in vitals.databases:
        _, names = session.call(("SELECT", database), ("KEYS", "*"))
        for name in cast("list[bytes]", names):
            dump, ttl_ms = session.call(("DUMP", name), ("PTTL", name))
            if isinstance(dump, bytes) and isinstance(ttl_ms, int):  # else it has expired
                found.append(_Key(database, name, dump, max(ttl_ms, 0)))
    return found
