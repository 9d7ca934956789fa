"""Conversations with a MySQL server: by PyMySQL where it is installed, else by its own client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dockwright.errors import StackError
from dockwright.reset.base import Environment, Resettable
from dockwright.reset.session import (
    ClientEndedError,
    ConnectionLostError,
    ContainerClient,
    connect,
)

CONNECT_TIMEOUT_S = 5
TIMEOUT_S = 60
_DELIMITER = "$dockwright$"
_CLIENT = 'exec "$(command -v mariadb || command -v mysql || echo mysql)" "$@"'
_REFUSED = re.compile(r"ERROR (?!20\d\d)")  # errors from 2000 on are the connection's
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "0": "\0"}

Row: TypeAlias = "tuple[str, ...]"


class StatementError(StackError):
    """The server refused a statement; the session may be over with that."""


class MysqlSession(Protocol):
    """One connection, used by one thread at a time."""

    def rows(self, statement: str) -> list[Row]:
        """Run one statement and return its rows as texts; NULL is ``NULL``.

        Raises:
            StatementError: the server refused it.
            ConnectionLostError: there is no connection any more.
        """

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a service's server is reached as root."""

    service: Resettable
    user: str
    password: str
    port: int

    @classmethod
    def of(cls, service: Resettable) -> Access:
        """Read it from the service's environment, as the official images understand that."""
        environment = Environment.of(service)
        user = str(service.spec.options.get("user") or "root")
        names = ("MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")
        if user != "root":
            names = ("MARIADB_PASSWORD", "MYSQL_PASSWORD")
        port = environment.argument("--port") or environment.first("MYSQL_TCP_PORT")
        return cls(service, user, environment.first(*names) or "", int(port or 3306))

    def connect(self) -> MysqlSession:
        """Connect: natively if possible, else by the client in the container.

        Raises:
            ConnectionLostError: neither way leads there.
            StatementError: the server does not let this user in.
        """
        return connect(
            self.service, "PyMySQL", lambda: DriverSession(self), lambda: ClientSession(self)
        )


class DriverSession:
    """Speaks through PyMySQL."""

    def __init__(self, access: Access) -> None:
        import pymysql

        self._error = pymysql.err.MySQLError
        self._lost = (pymysql.err.OperationalError, pymysql.err.InterfaceError)
        address = access.service.address(access.port)
        try:
            self._connection: Any = pymysql.connect(
                host=address.host,
                port=address.port,
                user=access.user,
                password=access.password,
                charset="utf8mb4",
                autocommit=True,
                conv={},  # texts, as the other way gives them
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=CONNECT_TIMEOUT_S,  # for the greeting: another server may be silent
                write_timeout=TIMEOUT_S,
            )
            # There is no other way to change it.
            self._connection._read_timeout = TIMEOUT_S  # type: ignore[attr-defined]  # noqa: SLF001
        except self._error as exc:
            raise ConnectionLostError(f"cannot connect to {address}: {exc}") from exc
        self.rows("SELECT 1")  # fails now if this version of the driver cannot be used

    def rows(self, statement: str) -> list[Row]:
        """Run one statement; see `MysqlSession`."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return [tuple(map(_text, row)) for row in cursor.fetchall()]
        except self._error as exc:
            if not self._connection.open or exc.args[0] in (0, 2006, 2013):
                raise ConnectionLostError(f"the connection was lost: {exc}") from exc
            raise StatementError(f"{exc} in: {statement[:200]}") from exc

    def close(self) -> None:
        """End the connection."""
        if self._connection.open:
            self._connection.close()


class ClientSession:
    """Speaks to one client in the container that stays there as long as the session.

    The client ends when a statement fails: only so it is sure which one did.
    """

    def __init__(self, access: Access) -> None:
        command = [
            "sh", "-c", _CLIENT, "sh", "--no-defaults", "--batch", "--unbuffered",
            "--skip-column-names", f"--delimiter={_DELIMITER}", "--default-character-set=utf8mb4",
            f"--connect-timeout={CONNECT_TIMEOUT_S}", f"--user={access.user}",
        ]  # fmt: skip
        environment = {"MYSQL_PWD": access.password}
        self._client = ContainerClient(access.service, "the client", command, environment)
        self.rows("SELECT 1")  # fails now if the server does not let us in

    def rows(self, statement: str) -> list[Row]:
        """Run one statement; see `MysqlSession`."""
        mark = self._client.mark
        request = f"{statement}{_DELIMITER}\nSELECT '{mark}'{_DELIMITER}\n"
        try:
            answer = self._client.exchange(request, end=f"{mark}\n")
        except ClientEndedError as end:
            if _REFUSED.match(end.output):
                raise StatementError(end.output) from end
            raise
        return [tuple(map(_unescaped, line.split("\t"))) for line in answer.split("\n")[:-1]]

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "NULL" if value is None else str(value)


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), field)


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """Return a text as SQL has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


_SHOWS_LOCKS = """
SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'METADATA_LOCK_INFO'
"""


def shows_locks(session: MysqlSession) -> bool:
    """Return whether the server shows who holds a `GET_LOCK`."""
    return bool(session.rows(_SHOWS_LOCKS))
