"""Conversations with a MySQL server: by PyMySQL where it is installed, else by its own client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from dockwright.errors import StackError
from dockwright.reset.base import Environment, Resettable
from dockwright.reset.credentials import Credential, candidates
from dockwright.reset.recognise import Server, greeting, server_of
from dockwright.reset.session import (
    ClientEndedError,
    ConnectionLostError,
    ContainerClient,
    RefusedError,
    closed_on_failure,
    connect,
)

CONNECT_TIMEOUT_S = 5
TIMEOUT_S = 60
_DELIMITER = "$dockwright$"
_CLIENT = 'exec "$(command -v mariadb || command -v mysql || echo mysql)" "$@"'
_REFUSED = re.compile(r"ERROR (?!20\d\d)")  # errors from 2000 on are the connection's
_DENIED = (1045, 1698)
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
    """How a service's server is reached as root.

    Attributes:
        service: the service.
        user: who enters.
        password: of the user; empty: there is none.
        port: inside the container.
        socket: the path of its Unix socket there; empty: where the client looks.
        runs_as: the user who runs the client in the container; empty: a driver is tried first.
    """

    service: Resettable
    user: str
    password: str
    port: int
    socket: str = ""
    runs_as: str = ""

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

    @property
    def options(self) -> tuple[str, ...]:
        """The options of every program in the container that connects."""
        socket = (f"--socket={self.socket}",) if self.socket else ()
        return (f"--user={self.user}", *socket)

    def connect(self) -> MysqlSession:
        """Connect: natively if possible, else by the client in the container.

        Raises:
            ConnectionLostError: neither way leads there.
            RefusedError: the server does not let this user in through the network.
            StatementError: it does not let this user in.
        """
        if self.runs_as:
            return ClientSession(self)
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
            if exc.args and exc.args[0] in _DENIED:
                raise RefusedError(str(exc)) from exc
            raise ConnectionLostError(f"cannot connect to {address}: {exc}") from exc
        with closed_on_failure(self.close):
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
            f"--connect-timeout={CONNECT_TIMEOUT_S}", *access.options,
        ]  # fmt: skip
        environment = {"MYSQL_PWD": access.password}
        self._client = ContainerClient(
            access.service, "the client", command, environment, user=access.runs_as
        )
        with closed_on_failure(self.close):
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


_SCHEMES = ("mysql", "mysql2", "mariadb", "percona")


def enter(service: Resettable) -> tuple[Access, MysqlSession]:
    """Find the way into a service's server as somebody who may do everything.

    Raises:
        StackError: there is none.
    """
    declared = Access.of(service)
    server = server_of(service, "mysql")
    if server is None or service.spec.options.get("user"):
        try:
            return declared, declared.connect()
        except RefusedError:
            inside = replace(declared, runs_as="0")
            return inside, inside.connect()
    failures: list[StackError] = []
    for access in _ways(replace(declared, port=server.port or declared.port), server):
        try:
            session = access.connect()
        except StackError as failure:
            failures.append(failure)
            continue
        with closed_on_failure(session.close):
            entitled = _may_do_everything(session)
        if entitled:
            return access, session
        session.close()
        failures.append(StackError(f"{access.user} may not do everything"))
    raise StackError(
        f"no way into {server} as root: {failures[0].message}",
        hint="set MYSQL_ROOT_PASSWORD or MARIADB_ROOT_PASSWORD to root's password, or let root "
        "in at the server's own socket",
    )


def _ways(declared: Access, server: Server) -> Iterator[Access]:
    """Yield through the network all names that lie about, then the server's own socket."""
    yield declared
    service = declared.service
    found = candidates(service, Environment.of(service), *_SCHEMES)
    known = [Credential(declared.user, declared.password)]
    known += [replace(each, user=each.user or "root", database="") for each in found]
    known = list(dict.fromkeys([*known, *(Credential("root", each.password) for each in found)]))
    if server.reachable and greeting(service.address(declared.port)) == "mysql":
        for each in known[1:]:
            yield replace(declared, user=each.user, password=each.password)
    inside = replace(declared, password="", socket=server.socket, runs_as="0")
    yield replace(inside, user="root")
    yield replace(inside, user="mysql", runs_as=str(server.program.user))
    for each in known:
        yield replace(inside, user=each.user, password=each.password)


def _may_do_everything(session: MysqlSession) -> bool:
    grants = [row[0].upper() for row in session.rows("SHOW GRANTS")]
    return any(
        " ON *.* " in each and ("ALL PRIVILEGES" in each or "SUPER" in each) for each in grants
    )
