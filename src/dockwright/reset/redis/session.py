"""Conversations with a Redis server: by redis-py where it is installed, else by its own client."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from dockwright.errors import StackError
from dockwright.reset.base import Resettable
from dockwright.reset.environment import Environment

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0

Reply: TypeAlias = "bytes | int | list[Reply] | None"
Command: TypeAlias = "tuple[str | bytes | int, ...]"


class ConnectionLostError(StackError):
    """The server, or the way to it, is gone."""


class CommandError(StackError):
    """The server refused a command."""


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

    def connect(self) -> Session:
        """Connect: natively if possible, else by the client in the container.

        Raises:
            ConnectionLostError: neither way leads there.
            CommandError: the server wants a password that is not known.
        """
        from dockwright.reset.redis.cli import CliSession

        try:
            return DriverSession(self)
        except ImportError:
            log.debug("reset.redis.no_driver service=%s", self.service.spec.name)
        except (StackError, ConnectionLostError) as failure:
            log.debug("reset.redis.driver service=%s: %s", self.service.spec.name, failure)
        return CliSession(self)


class DriverSession:
    """Speaks through redis-py, below its command methods: replies stay as they come."""

    def __init__(self, access: Access) -> None:
        from redis import exceptions
        from redis.connection import Connection

        self._refused = exceptions.ResponseError
        self._lost = (exceptions.RedisError, OSError)
        address = access.service.address(access.port)
        make: Any = Connection  # redis-py leaves it untyped
        self._connection = make(
            host=address.host,
            port=address.port,
            username=access.user,
            password=access.password,
            protocol=2,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            client_name="dockwright",
        )
        self.call(("PING",))

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands; see `Session`."""
        return checked(commands, self._exchange(commands))

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands as one transaction; see `Session`."""
        return executed(commands, self._exchange([("MULTI",), *commands, ("EXEC",)]))

    def close(self) -> None:
        """End the connection."""
        self._connection.disconnect()

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        try:
            packed = connection.pack_commands(commands)
            connection.send_packed_command(packed, check_health=False)
            return [self._read() for _ in commands]
        except self._refused as exc:  # the server does not let us in
            connection.disconnect()
            raise CommandError(f"Redis refused the connection: {exc}") from exc
        except self._lost as exc:
            connection.disconnect()
            raise ConnectionLostError(f"the connection to Redis was lost: {exc}") from exc

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except self._refused as exc:
            return exc


def checked(commands: Sequence[Command], replies: Sequence[Any]) -> list[Reply]:
    """Return replies in which there is no error.

    Raises:
        CommandError: there is one; tells for which command.
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
