"""A conversation by redis-py, where that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockwright.reset.redis.session import (
    Access,
    Command,
    CommandError,
    ConnectionLostError,
    Reply,
    checked,
    executed,
    greet,
)

TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0


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
        greet(self)

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
