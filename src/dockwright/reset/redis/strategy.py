"""Brings a Redis server back while it runs: keys of all databases, configuration, users, functions.

Keys come back by RESTORE from what DUMP gave at the baseline, their times to live included.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import cast

from dockwright.errors import StackBrokenError, StackError, WaitTimeoutError
from dockwright.model import Trace
from dockwright.reset.base import Manner, Resettable, check_options, until_none
from dockwright.reset.redis.clients import LIST as CLIENT_LIST
from dockwright.reset.redis.clients import Clients
from dockwright.reset.redis.files import Files
from dockwright.reset.redis.session import (
    ANSWER_S,
    Access,
    Command,
    CommandError,
    RedisSession,
    Reply,
    connect,
    enter,
    greet,
    knows,
)
from dockwright.reset.redis.vitals import QUESTIONS, Vitals, counted_commands
from dockwright.reset.session import ConnectionLostError
from dockwright.wait import Continue, Outcome, Ready, until

_CONFIG: Command = ("CONFIG", "GET", "*")
_USERS: Command = ("ACL", "LIST")
_FUNCTIONS: Command = ("FUNCTION", "DUMP")
_RULE = re.compile(rb"\([^)]*\)|\S+")


@dataclass(frozen=True, slots=True)
class Settings:
    """A server's settings.

    Attributes:
        config: the values of ``CONFIG GET``.
        users: the rules of each user; None where the server knows no users (before Redis 6).
        functions: what ``FUNCTION DUMP`` gives; None where it knows no functions (before 7).
    """

    config: dict[bytes, bytes]
    users: dict[bytes, bytes] | None
    functions: bytes | None

    @classmethod
    def take(cls, session: RedisSession) -> Settings:
        """Ask the server for all that it knows of.

        Raises:
            CommandError: it does not let us read its configuration.
        """
        return cls.read(
            session, [_CONFIG, *(each for each in (_USERS, _FUNCTIONS) if knows(session, each))]
        )

    @classmethod
    def read(cls, session: RedisSession, commands: list[Command]) -> Settings:
        """Ask the server with these commands, the first of which is ``CONFIG GET``."""
        replies = dict(zip(commands, session.call(*commands), strict=True))
        words = _texts(replies[_CONFIG])
        users, functions = replies.get(_USERS), replies.get(_FUNCTIONS)
        return cls(
            config=dict(zip(words[::2], words[1::2], strict=True)),
            users=None if users is None else dict(map(_user, _texts(users))),
            functions=functions if isinstance(functions, bytes) else None,
        )

    def put_back(
        self, session: RedisSession, *, functions_ran: bool, save_failed: bool
    ) -> list[Trace] | None:
        """Make the server's settings these again.

        Args:
            session: a connection to the server.
            functions_ran: whether a function may have been called: libraries have variables of
                their own, which start again when the library is loaded.
            save_failed: whether the last save failed: libraries cannot be loaded before another.

        Returns:
            What a test changed; None: nothing was different.

        Raises:
            StackBrokenError: one cannot be changed while the server runs.
        """
        commands = [_CONFIG]
        commands += [_USERS] if self.users is not None else []
        commands += [_FUNCTIONS] if self.functions is not None else []
        now = self.read(session, commands)
        if functions_ran:
            now = replace(now, functions=None)
        if now == self:
            return None
        found = list(self._changes(now))
        session.call(*self._differences(now, save_failed=save_failed))
        now = self.read(session, commands)
        if changed := [
            name.decode() for name, value in self.config.items() if now.config.get(name) != value
        ]:
            raise StackBrokenError(f"settings of Redis were changed for good: {', '.join(changed)}")
        if now.users != self.users:
            raise StackBrokenError("users of Redis were changed for good")
        return found

    def _changes(self, now: Settings) -> Iterator[Trace]:
        for name, value in self.config.items():
            if now.config.get(name) != value:
                yield Trace("setting", name.decode(), "changed")
        then_users, now_users = self.users or {}, now.users or {}
        for user in sorted(then_users.keys() | now_users.keys()):
            if then_users.get(user) != now_users.get(user):
                how = "added" if user not in then_users else "changed"
                yield Trace("user", user.decode(), how if user in now_users else "deleted")
        if now.functions is not None and self.functions != now.functions:
            yield Trace("functions", "", "changed")

    def _differences(self, now: Settings, *, save_failed: bool) -> Iterator[Command]:
        for name, value in self.config.items():
            if now.config.get(name) != value:
                yield ("CONFIG", "SET", name, value)
        if save_failed:
            yield ("SAVE",)
        for user in (now.users or {}).keys() - (self.users or {}).keys():
            yield ("ACL", "DELUSER", user)
        for user, rules in (self.users or {}).items():
            if (now.users or {}).get(user) != rules:
                yield ("ACL", "SETUSER", user, "reset", *_RULE.findall(rules))
        if self.functions is not None and now.functions != self.functions:
            yield ("FUNCTION", "RESTORE", self.functions, "FLUSH")


def _texts(reply: Reply) -> list[bytes]:
    return [each for each in reply if isinstance(each, bytes)] if isinstance(reply, list) else []


def _user(line: bytes) -> tuple[bytes, bytes]:
    _, name, rules = line.split(b" ", 2)
    # The default; a user that was reset bears it, one that was just made does not.
    return name, rules.replace(b" sanitize-payload", b"")


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

    @property
    def place(self) -> tuple[int, bytes]:
        return self.database, self.name

    def restore(self) -> Command:
        return ("RESTORE", self.name, self.ttl_ms, self.dump)

    def same(self, other: _Key) -> bool:
        """Return whether both hold the same, and expire or do not; the time left passes by."""
        return (self.dump, bool(self.ttl_ms)) == (other.dump, bool(other.ttl_ms))


_MOST_NAMED_FROM, _MOST_NAMED = 10_000, 10
"""Keys are compared one by one in a server with no more of them; so many are named."""


def _differences(
    then: Mapping[tuple[int, bytes], _Key], now: Mapping[tuple[int, bytes], _Key]
) -> list[Trace]:
    """Return which keys were added, changed or deleted; a key that expires may be gone by now."""
    how = {place: "added" for place in now if place not in then}
    how |= {each: "changed" for each in now if each in then and not then[each].same(now[each])}
    how |= {each: "deleted" for each in then if each not in now and not then[each].ttl_ms}
    places = sorted(how)
    traces = [
        Trace("key", _shown(place), how[place] + (", expires" * _expires(now.get(place))))
        for place in places[:_MOST_NAMED]
    ]
    if rest := len(places) - _MOST_NAMED:
        traces += [Trace("keys", "", f"{rest} more")] if rest > 0 else []
    return traces


def _expires(key: _Key | None) -> bool:
    return key is not None and bool(key.ttl_ms)


def _shown(place: tuple[int, bytes]) -> str:
    database, name = place
    shown = name.decode(errors="backslashreplace")
    return f"{shown} of database {database}" if database else shown


class RedisReset:
    """Resets a service that is a Redis server, or one that speaks like it."""

    manner: Manner = "in place"

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._access: Access
        self._session: RedisSession | None = None
        self._counted: frozenset[str]
        self._tidying: list[Command]
        self._settings: Settings
        self._files: Files
        self.owns: re.Pattern[str]
        self._clients: Clients
        self._keys: list[_Key] = []
        self._baseline: Vitals
        self._last: Vitals  # the baseline, or the end of the last reset
        self.undone: list[Trace] = []
        self.curious = False
        self._settled: Vitals | None = None  # when the settings last were those of the baseline
        self._clean: Vitals | None = None  # the same for the keys, if it proves something

    def capture(self) -> None:
        """Remember keys and settings; logs are emptied.

        Raises:
            StackError: no connection, or a server that cannot be written to or asked.
        """
        with self._lock:
            self._disconnect()
            self._access, session = enter(self._service)
            self._session = session
            _require_master(Vitals.take(session))
            self._counted = counted_commands(session)
            self._tidying = [command for command in _TIDYING if knows(session, command)]
            self._settings = Settings.take(session)
            self._files = Files(self._service, self._settings.config)
            self.owns = self._files.written
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

    def untouched(self) -> bool:
        """Return whether surely nothing was changed; one round trip answers that."""
        with self._lock:
            try:
                return self._session is not None and self._is_untouched(self._session)
            except StackError as failure:
                log.debug("reset.redis.untouched %s: %s", self._service.spec.name, failure)
                return False

    def close(self) -> None:
        """End the connection."""
        self._disconnect()

    def _is_untouched(self, session: RedisSession) -> bool:
        if self._clean is None or self._settled is None:
            return False
        tidied = len(self._tidying)
        *replies, clients = session.call_within(ANSWER_S, *self._tidying, *QUESTIONS, CLIENT_LIST)[
            tidied:
        ]
        vitals = Vitals.of(replies, self._counted)
        return (
            vitals.in_order
            and not self._why_not(vitals)
            and self._settled.same_settings(vitals)
            and self._clean.same_keys(vitals)
            and not (vitals.scripts and not self._baseline.scripts)
            and not self._clients.strangers(clients)
        )

    def _bring_back(self) -> None:
        self.undone = []
        session = self._awake()
        vitals = self._look(session)
        if why_not := self._why_not(vitals):
            raise StackBrokenError(why_not)
        if vitals.failing_over:
            session.call(("FAILOVER", "ABORT"))
        if vitals.role != "master":
            self.undone.append(Trace("setting", "replicaof", "changed"))
            session.call(("REPLICAOF", "NO", "ONE"))
        if self._settled is None or not self._settled.same_settings(vitals):
            # What we change ourselves counts too: then the next reset looks again.
            changed = self._settings.put_back(
                session,
                functions_ran=self._functions_ran(vitals),
                save_failed=vitals.saving.failed,
            )
            self._settled = vitals if changed is None else None
            self.undone += changed or ()
        if vitals.scripts and not self._baseline.scripts:
            session.call(("SCRIPT", "FLUSH"))
        if self._clean is None or not self._clean.same_keys(vitals):
            self.undone += self._written(session, vitals)
            self._restore_keys(session, vitals)
            session.call(*self._tidying)  # restoring many keys may be slow, and logged

    def _awake(self) -> RedisSession:
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

    def _look(self, session: RedisSession) -> Vitals:
        """Return what the server is now; end connections that a test left."""
        until_none(lambda: int(Vitals.take(session).loading), "keys to load")
        *replies, clients = session.call(*QUESTIONS, CLIENT_LIST)
        vitals = Vitals.of(replies, self._counted)
        if vitals.run != self._last.run:
            self._clients.forget()
        if ended := self._clients.end_strangers(session, clients):
            # It may be an application's own, which connected again after a reset.
            waiting = f"{ended} left waiting for keys or messages"
            self.undone.append(Trace("connection", "", waiting, certain=False))
        return vitals

    def _why_not(self, vitals: Vitals) -> str:
        """Return what was done that cannot be undone; empty: nothing."""
        if drastic := vitals.drastic_since(self._last):
            return f"{', '.join(drastic)} was called, which cannot be undone"
        if vitals.modules != self._baseline.modules:
            return "modules were loaded or unloaded"
        flushed = vitals.calls("script|flush") != self._last.calls("script|flush")
        if vitals.scripts < self._baseline.scripts or (self._baseline.scripts and flushed):
            return "cached scripts of the baseline were flushed"
        return ""

    def _functions_ran(self, vitals: Vitals) -> bool:
        known = vitals.orders is not None and vitals.run == self._last.run
        return not known or any(
            vitals.calls(name) != self._last.calls(name) for name in ("fcall", "fcall_ro")
        )

    def _written(self, session: RedisSession, vitals: Vitals) -> list[Trace]:
        """Return the keys that were written to, by name if that was asked for."""
        wrote = self._clean is not None and self._clean.wrote(vitals)
        if self.curious and sum(count for _, count in vitals.databases) <= _MOST_NAMED_FROM:
            now = {each.place: each for each in _keys(session, vitals)}
            then = {each.place: each for each in self._keys}
            if found := _differences(then, now):
                return found
            return [Trace("keys", "", "written and deleted again")] if wrote else []
        if wrote:
            return [Trace("keys", "", "written")]
        return [Trace("keys", "", "perhaps written", certain=False)] if self.curious else []

    def _restore_keys(self, session: RedisSession, vitals: Vitals) -> None:
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
        if same_disk and self._last.same_disk(now):  # no save began by itself meanwhile
            self._last, self._clean = now, now if self._proves(now, now) else None
        else:
            self._restore_disk(session)
            self._last, self._clean = Vitals.take(session, self._counted), None

    def _restore_disk(self, session: RedisSession) -> None:
        """Let a restart load what it would have loaded at the baseline."""
        until_none(lambda: int(Vitals.take(session).saving.running), "saves under way")
        if self._files.has_dump:
            _save(session)
        self._files.remove_new()

    def _proves(self, before: Vitals, after: Vitals) -> bool:
        """Return whether later vitals, compared with these, prove whether keys changed."""
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


def _save(session: RedisSession) -> None:
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


def _keys(session: RedisSession, vitals: Vitals) -> list[_Key]:
    """Return all keys, by database."""
    found: list[_Key] = []
    for database, _ in vitals.databases:
        _, names = session.call(("SELECT", database), ("KEYS", "*"))
        for name in cast("list[bytes]", names):
            dump, ttl_ms = session.call(("DUMP", name), ("PTTL", name))
            if isinstance(dump, bytes) and isinstance(ttl_ms, int):  # else it has expired
                found.append(_Key(database, name, dump, max(ttl_ms, 0)))
    return found
