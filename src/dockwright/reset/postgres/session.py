"""Conversations with a PostgreSQL server: by psycopg where it is installed, else by psql."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dockwright.errors import StackError
from dockwright.model import Address
from dockwright.reset.base import Environment, Resettable
from dockwright.reset.session import (
    ConnectionLostError,
    ContainerClient,
    closed_on_failure,
    connect,
)

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 60
APPLICATION = "dockwright"

_SETTINGS = {
    "application_name": APPLICATION,
    "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000}",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # What a statement means.
    "search_path": 'pg_catalog,"$user",public',
    "standard_conforming_strings": "on",
    "backslash_quote": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "xmloption": "content",
    "row_security": "off",
    # What a value looks like.
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "quote_all_identifiers": "off",
    # What a transaction may do, what it sets off, and what it waits for.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "session_replication_role": "replica",
    "synchronous_commit": "local",
    # Where a new table goes.
    "default_tablespace": "",
    "default_table_access_method": "heap",
    # How a table is read: once from its first page to its last.
    "enable_seqscan": "on",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
"""Whatever a server, a database or a role sets for its sessions, ours are the same everywhere.

They go with the request for a connection: no other setting beats those. PostgreSQL 12 knows all.
"""

_LATER_SETTINGS = {
    14: {"idle_session_timeout": "0"},
    17: {"transaction_timeout": "0", "event_triggers": "off"},
}
"""Those that came with a later version."""


def _options(major: int) -> str:
    """Return the settings as the command line of a server of this version has them."""
    later = (settings for since, settings in _LATER_SETTINGS.items() if major >= since)
    pairs = (f"{name}={value}" for each in (_SETTINGS, *later) for name, value in each.items())
    return " ".join("-c " + pair.replace("\\", "\\\\").replace(" ", "\\ ") for pair in pairs)


class StatementError(StackError):
    """The server refused a statement."""


def not_a_superuser(user: str) -> StackError:
    """Return the error for a user that cannot bring everything back."""
    return StackError(f"the PostgreSQL user {user} is not a superuser")


class PostgresSession(Protocol):
    """One connection to one database, used by one thread at a time."""

    def run(self, *statements: str) -> None:
        """Run statements; several of them are one transaction.

        Raises:
            StatementError: the server refused one.
            ConnectionLostError: there is no connection any more.
        """

    def ask(self, *statements: str) -> Any:
        """Run statements like `run` and return the JSON text that the last one selects, parsed."""

    def close(self) -> None:
        """End the connection; also from another thread, whose call then fails."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a service's server is reached as its superuser.

    Attributes:
        service: the service.
        user: the superuser.
        password: of the user.
        first_database: one that is there from the beginning.
        port: inside the container.
        major: the server's version; 0: not known yet.
        host: the directory of its socket, or a host, inside the container; empty: the usual one.
        runs_as: the user who runs psql in the container; empty: the container's.
        path: where programs are looked for there; empty: where the container looks.
    """

    service: Resettable
    user: str
    password: str
    first_database: str
    port: int
    major: int = 0
    host: str = ""
    runs_as: str = ""
    path: str = ""

    @classmethod
    def of(cls, service: Resettable) -> Access:
        """Read it from the service's environment, as the official image understands that."""
        environment = Environment.of(service)
        named = service.spec.options.get("user")
        user = str(named or environment.first("POSTGRES_USER", "POSTGRESQL_USERNAME") or "postgres")
        return cls(
            service,
            user=user,
            password=environment.first("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD") or "",
            first_database=environment.first("POSTGRES_DB", "POSTGRESQL_DATABASE") or user,
            port=int(environment.first("PGPORT") or 5432),
            major=int(major) if (major := environment.first("PG_MAJOR") or "").isdecimal() else 0,
        )

    def parameters(self, database: str) -> dict[str, Any]:
        """Return what a driver needs to connect to a database."""
        address: Address = self.service.address(self.port)
        return {
            "host": address.host,
            "port": address.port,
            "user": self.user,
            "password": self.password,
            "dbname": database,
            "connect_timeout": CONNECT_TIMEOUT_S,
        }

    def connect(self, database: str) -> PostgresSession:
        """Connect to a database: natively if possible, else by the client in the container.

        Raises:
            ConnectionLostError: neither way leads there.
            StackError: the user is not a superuser.
        """
        try:
            return connect(
                self.service,
                "psycopg",
                lambda: DriverSession(self, database),
                lambda: PsqlSession(self, database),
            )
        except ConnectionLostError as failure:
            if "session_replication_role" in failure.message:  # superusers alone may set it
                raise not_a_superuser(self.user) from failure
            raise


class DriverSession:
    """Speaks through psycopg."""

    def __init__(self, access: Access, database: str) -> None:
        import psycopg

        self._error = psycopg.Error
        self._in_use = threading.Lock()
        where = access.parameters(database)
        try:
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                **where, autocommit=True, client_encoding="utf8", options=_options(access.major)
            )
        except psycopg.Error as exc:
            address = f"{where['host']}:{where['port']}"
            raise ConnectionLostError(f"cannot connect to {address}: {exc}") from exc
        with closed_on_failure(self.close):
            self.ask("SELECT 1::text")  # fails now if this version of the driver cannot be used

    def run(self, *statements: str) -> None:
        """Run statements; see `PostgresSession`."""
        self._execute(statements)

    def ask(self, *statements: str) -> Any:
        """Run statements and return what the last one selects; see `PostgresSession`."""
        cursor = self._execute(statements)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        return json.loads(row[0]) if row else None

    def close(self) -> None:
        """End the connection."""
        # A thread that waits for an answer would not see that its socket is closed, only its end.
        if not self._connection.closed:
            with (
                contextlib.suppress(OSError),
                socket.socket(fileno=os.dup(self._connection.fileno())) as connected,
            ):
                connected.shutdown(socket.SHUT_RDWR)
        with self._in_use:  # libpq aborts the process if a connection is freed during a call
            self._connection.close()

    def _execute(self, statements: tuple[str, ...]) -> psycopg.Cursor[Any]:
        with self._translated():
            return self._connection.execute(";\n".join(statements).encode())

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with self._in_use:
                yield
        except self._error as exc:
            if self._connection.broken or self._connection.closed:
                raise ConnectionLostError(f"the connection was lost: {exc}") from exc
            raise StatementError(str(exc)) from exc


class PsqlSession:
    """Speaks to one psql in the container that stays there as long as the session."""

    def __init__(self, access: Access, database: str) -> None:
        command = ["psql", "-qAtX", "-U", access.user, "-p", str(access.port), "-d", database]
        environment = {
            "PATH": access.path,
            "PGHOST": access.host,
            "PGPASSWORD": access.password,
            "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S),
            "PGCLIENTENCODING": "UTF8",
            "PGOPTIONS": _options(access.major),
        }
        self._client = ContainerClient(
            access.service, "psql", command, environment, user=access.runs_as
        )
        with closed_on_failure(self.close):
            self.run("SELECT 1")  # fails now if the server does not let us in

    def run(self, *statements: str) -> None:
        """Run statements; see `PostgresSession`."""
        self._execute(statements)

    def ask(self, *statements: str) -> Any:
        """Run statements and return what the last one selects; see `PostgresSession`."""
        lines = self._execute(statements).splitlines()
        return json.loads(lines[-1]) if lines else None

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _execute(self, statements: tuple[str, ...]) -> str:
        mark = self._client.mark
        # "\;" sends all of them as one request, which the server makes one transaction.
        request = (
            "\\;\n".join(statements)
            + f";\n\\echo '{mark}' :ERROR :LAST_ERROR_MESSAGE\n\\echo '{mark} end'\n"
        )
        answer = self._client.exchange(request, end=f"{mark} end\n")
        result, _, outcome = answer.partition(mark)
        failed, _, message = outcome.strip().partition(" ")
        if failed == "true":
            raise StatementError(message.partition(mark)[0].strip())
        return result


def send_as_replica(
    access: Access, database: str, *, slot: str, position: str, message: bytes
) -> None:
    """Send one message to the server as a replica does that follows it through a slot.

    Raises:
        StackError: the server does not let us, or there is no driver that could do it.
    """
    start = f"START_REPLICATION SLOT {slot} PHYSICAL {position}"
    try:
        _send_as_replica(access, database, start, message)
    except StackError:
        raise
    except Exception as failure:
        raise StackError(f"psycopg cannot be used: {failure}") from failure


def _send_as_replica(access: Access, database: str, start: str, message: bytes) -> None:
    from psycopg import Error, pq
    from psycopg.conninfo import make_conninfo

    parameters = access.parameters(database)
    who = {"application_name": APPLICATION, "options": _options(access.major)}
    where = make_conninfo("", **parameters, **who, replication="database")
    connection = pq.PGconn.connect(where.encode())
    try:
        if connection.status != pq.ConnStatus.OK:
            raise StackError(connection.error_message.decode(errors="replace").strip())
        result = connection.exec_(start.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise StackError(result.error_message.decode(errors="replace").strip())
        connection.put_copy_data(message)
        connection.put_copy_end()
        while connection.get_copy_data(0)[0] > 0:  # the server has read it once it ends, too
            pass
    except Error as failure:
        raise StackError(str(failure)) from failure
    finally:
        connection.finish()


def identifier(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """Return a text as SQL has it, whatever the settings for strings say."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def array(numbers: Collection[int]) -> str:
    """Return numbers as an array in SQL."""
    return "'{" + ",".join(map(str, numbers)) + "}'"
