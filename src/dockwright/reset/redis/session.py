"""What a conversation with a Redis server is, whoever leads it, and how the server is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from dockwright.engine.parallel import expiring
from dockwright.errors import StackError
from dockwright.reset.base import Resettable
from dockwright.reset.environment import Environment

_ANSWER_S = 5.0
_GREETING = ("INFO", "server")  # answered while a server loads its keys, too

Reply: TypeAlias = "bytes | int | list[Reply] | None"
Command: TypeAlias = "tuple[str | bytes | int, ...]"


class ConnectionLostError(StackError):
    """The server, or the way to it, is gone."""


class CommandError(StackError):
    """The server refused a command."""


class SilentError(StackError):
    """The server keeps the connection open and does not answer."""


class Session(Protocol):
    """One connection, used by one thread at a time."""

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands in one go and return their replies.

        Raises:
            CommandError: the server refused one; all were sent.
            ConnectionLostError: there is no connection any more.
        """

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands that the server runs with nobody else's in between."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a service's server is reached."""

    service: Resettable
    user: str | None
    password: str | None
    port: int

    @classmethod
    def of(cls, service: Resettable) -> Access:
        """Read it from the service's environment and command line."""
        environment = Environment.of(service)
        user = service.spec.options.get("user")
        return cls(
            service,
            user=str(user) if user else None,
            password=environment.argument("--requirepass")
            or environment.first("REDIS_PASSWORD", "VALKEY_PASSWORD", "REDISCLI_AUTH"),
            port=int(environment.argument("--port") or 6379),
        )


def greet(session: Session) -> None:
    """Wait until the server answers.

    Raises:
        SilentError: it does not within 5 s: after ``CLIENT PAUSE`` it answers nobody, and no
            command can end that.
        ConnectionLostError: there is no connection any more.
    """
    try:
        with expiring(_ANSWER_S, session.close) as expired:
            session.call(_GREETING)
    except Exception as failure:  # whatever a client says when it is closed while it reads
        if not expired.is_set():
            raise
        raise SilentError(
            f"the server has not answered for {_ANSWER_S:g} s: it is busy, or a test called "
            "CLIENT PAUSE, which no command can end"
        ) from failure


def knows(session: Session, command: Command) -> bool:
    """Return whether the server takes this command."""
    try:
        session.call(command)
    except CommandError:
        return False
    return True


def checked(commands: Sequence[Command], replies: Sequence[Any]) -> list[Reply]:
    """Return replies in which there is no error.

    Raises:
        CommandError: there is one; the message names the command.
    """
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, Exception):
            words = " ".join(str(word) for word in command[:2])
            raise CommandError(f"{words}: {reply}")
    return cast("list[Reply]", list(replies))


def executed(commands: Sequence[Command], replies: Sequence[Any]) -> list[Reply]:
    """Return what commands gave that were sent as a transaction.

    Args:
        commands: those within it.
        replies: to MULTI, to each command that was queued, and to EXEC.

    Raises:
        CommandError: one was not queued, or failed.
    """
    *_, results = checked([("MULTI",), *commands, ("EXEC",)], replies)
    return checked(commands, results if isinstance(results, list) else [])
