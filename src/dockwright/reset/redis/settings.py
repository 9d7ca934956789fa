"""What a Redis server holds besides its keys: configuration, users, libraries of functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dockwright.errors import StackBrokenError
from dockwright.reset.redis.session import Command, Reply, Session, knows

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
    def take(cls, session: Session) -> Settings:
        """Ask the server for all that it knows of.

        Raises:
            CommandError: it does not let us read its configuration.
        """
        return cls.read(
            session, [_CONFIG, *(each for each in (_USERS, _FUNCTIONS) if knows(session, each))]
        )

    @classmethod
    def read(cls, session: Session, commands: list[Command]) -> Settings:
        """Ask the server with these commands, the first of which is ``CONFIG GET``."""
        replies = dict(zip(commands, session.call(*commands), strict=True))
        words = _texts(replies[_CONFIG])
        users, functions = replies.get(_USERS), replies.get(_FUNCTIONS)
        return cls(
            config=dict(zip(words[::2], words[1::2], strict=True)),
            users=None if users is None else dict(map(_user, _texts(users))),
            functions=functions if isinstance(functions, bytes) else None,
        )

    def put_back(self, session: Session, *, functions_ran: bool, save_failed: bool) -> bool:
        """Make the server's settings these again.

        Args:
            session: a connection to the server.
            functions_ran: whether a function may have been called: libraries have variables of
                their own, which start again when the library is loaded.
            save_failed: whether the last save failed: libraries cannot be loaded before another.

        Returns:
            Whether they were others.

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
            return False
        session.call(*self._differences(now, save_failed=save_failed))
        now = self.read(session, commands)
        if changed := [
            name.decode() for name, value in self.config.items() if now.config.get(name) != value
        ]:
            raise StackBrokenError(f"settings of Redis were changed for good: {', '.join(changed)}")
        if now.users != self.users:
            raise StackBrokenError("users of Redis were changed for good")
        return True

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
