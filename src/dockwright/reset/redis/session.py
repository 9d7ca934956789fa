"""What a conversation with a Redis server is, whoever leads it, and how the server is reached."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, cast

from dockwright.engine.parallel import expiring
from dockwright.errors import EngineError, StackError
from dockwright.reset import session as sessions
from dockwright.reset.base import Environment, Resettable
from dockwright.reset.credentials import Credential, candidates
from dockwright.reset.recognise import Server, server_of
from dockwright.reset.session import (
    ConnectionLostError,
    ContainerClient,
    RefusedError,
    SilentError,
    closed_on_failure,
)

ANSWER_S = 5.0
_GREETING = ("INFO", "server")  # answered while a server loads its keys, too

Reply: TypeAlias = "bytes | int | list[Reply] | None"
Command: TypeAlias = "tuple[str | bytes | int, ...]"


class CommandError(StackError):
    """The server refused a command."""


class RedisSession(Protocol):
    """One connection, used by one thread at a time."""

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands in one go and return their replies.

        Raises:
            CommandError: the server refused one; all were sent.
            ConnectionLostError: there is no connection any more.
        """

    def call_within(self, timeout_s: float, *commands: Command) -> list[Reply]:
        """Send commands as `call` does, and do not wait for ever.

        Raises:
            SilentError: the server does not answer within `timeout_s`: after ``CLIENT PAUSE`` it
                answers nobody, and no command can end that.
        """

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands that the server runs with nobody else's in between."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a service's server is reached.

    Attributes:
        service: the service.
        user: who enters; None: the default user.
        password: of the user; None: there is none.
        port: inside the container.
        socket: the path of its Unix socket there, where it listens on no port; else empty.
    """

    service: Resettable
    user: str | None
    password: str | None
    port: int
    socket: str = ""

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


def greet(session: RedisSession) -> None:
    """Wait until the server answers; see `RedisSession.call_within` for what is raised."""
    session.call_within(ANSWER_S, _GREETING)


def _silent(timeout_s: float) -> SilentError:
    return SilentError(
        f"the server has not answered for {timeout_s:g} s: it is busy, or a test called "
        "CLIENT PAUSE, which no command can end"
    )


def knows(session: RedisSession, command: Command) -> bool:
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


_CLIENT = (
    "for client in redis-cli valkey-cli keydb-cli; do"
    ' command -v $client >/dev/null && exec $client "$@"; done; exit 127'
)
_ESCAPED = [b"\\x%02x" % byte for byte in range(256)]
_REFUSED = "Could not connect to "
_INDEX = re.compile(r"^(?: *\d+[)~] )+")


class CliSession:
    """Speaks to redis-cli in its format for people, which quotes what the raw one does not."""

    def __init__(self, access: Access) -> None:
        user = ["--user", access.user] if access.user else []
        where = ["-s", access.socket] if access.socket else ["-p", str(access.port)]
        command = ["sh", "-c", _CLIENT, "sh", "--no-raw", *where, *user]
        environment = {"REDISCLI_AUTH": access.password or ""}
        self._client = ContainerClient(access.service, "redis-cli", command, environment)
        self._lines = _lines(self._client)
        with closed_on_failure(self.close):
            greet(self)

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands; see `RedisSession`."""
        mark = _line(("ECHO", self._client.mark))
        self._client.write(b"".join(_line(command) + mark for command in commands))
        return checked(commands, [_reply(self._until_mark()) for _ in commands])

    def call_within(self, timeout_s: float, *commands: Command) -> list[Reply]:
        """Send commands; see `RedisSession`."""
        try:
            with expiring(timeout_s, self.close) as expired:
                return self.call(*commands)
        except Exception as failure:  # whatever a client says when it is closed while it reads
            if not expired.is_set():
                raise
            raise _silent(timeout_s) from failure

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands as one transaction; see `RedisSession`."""
        everything = [("MULTI",), *commands, ("EXEC",)]
        self._client.write(b"".join(map(_line, [*everything, ("ECHO", self._client.mark)])))
        lines: list[str] = []
        for line in self._until_mark():
            while line.startswith("QUEUED"):  # after INFO the client leaves out the line's end
                lines.append("QUEUED")
                line = line.removeprefix("QUEUED")
            if line:
                lines.append(line)
        queued = len(everything) - 1
        return executed(
            commands, [*(_reply([line]) for line in lines[:queued]), _reply(lines[queued:])]
        )

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _until_mark(self) -> list[str]:
        lines: list[str] = []
        mark = f'"{self._client.mark}"'
        for line in self._lines:
            if line == mark:
                break
            if line.startswith("(error) NOAUTH"):  # to the mark as well, so it never comes
                raise CommandError(line.removeprefix("(error) "))
            if line.startswith(_REFUSED):  # it stays, and says so again at each command
                raise ConnectionLostError(line)
            lines.append(line)
        else:
            raise sessions.ClientEndedError(f"redis-cli in the container ended: {' '.join(lines)}")
        if not lines:
            raise ConnectionLostError("redis-cli in the container lost its server")
        return lines


def _lines(client: ContainerClient) -> Iterator[str]:
    """Yield what the client writes. Not a method: a lost session would hold itself."""
    rest = b""
    while chunk := client.read():
        *lines, rest = (rest + chunk[1]).split(b"\n")
        yield from (line.decode().removesuffix("\r") for line in lines)


def _line(command: Command) -> bytes:
    return b" ".join(_word(word) for word in command) + b"\n"


def _word(word: str | bytes | int) -> bytes:
    data = word if isinstance(word, bytes) else str(word).encode()
    if data and data.isalnum():
        return data
    return b'"' + b"".join(map(_ESCAPED.__getitem__, data)) + b'"'


def _reply(lines: Sequence[str]) -> Any:
    if lines[0].startswith(("(empty array)", "(empty list or set)")):
        return []
    if _INDEX.match(lines[0]):
        return [_scalar(_INDEX.sub("", line)) for line in lines]
    if len(lines) > 1:  # what the client never quotes: INFO
        return "\n".join(lines).encode()
    return _scalar(lines[0])


def _scalar(text: str) -> Any:
    if text.startswith('"'):
        return ast.literal_eval(f"b{text}")
    kind, _, value = text.partition(") ")
    if kind == "(integer":
        return int(value)
    if kind == "(error":
        return CommandError(value)
    return None if text == "(nil)" else text.encode()


TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0


class DriverSession:
    """Speaks through redis-py, below its command methods: replies stay as they come."""

    def __init__(self, access: Access) -> None:
        from redis import exceptions
        from redis.connection import Connection

        self._refused = exceptions.ResponseError
        self._locked = getattr(exceptions, "AuthenticationError", self._refused)
        self._lost = (exceptions.RedisError, OSError)
        address = access.service.address(access.port)
        make: Any = Connection  # redis-py leaves it untyped
        options = {
            "host": address.host,
            "port": address.port,
            "username": access.user,
            "password": access.password,
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "client_name": "dockwright",
        }
        try:
            self._connection = make(protocol=2, **options)
        except TypeError:  # redis-py 4 knows no other protocol
            self._connection = make(**options)
        with closed_on_failure(self.close):
            greet(self)

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands; see `RedisSession`."""
        return checked(commands, self._exchange(commands))

    def call_within(self, timeout_s: float, *commands: Command) -> list[Reply]:
        """Send commands; see `RedisSession`."""
        return checked(commands, self._exchange(commands, timeout_s))

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands as one transaction; see `RedisSession`."""
        return executed(commands, self._exchange([("MULTI",), *commands, ("EXEC",)]))

    def close(self) -> None:
        """End the connection."""
        self._connection.disconnect()

    def _exchange(self, commands: Sequence[Command], timeout_s: float | None = None) -> list[Any]:
        connection = self._connection
        try:
            packed = connection.pack_commands(commands)
            connection.send_packed_command(packed, check_health=False)
            if timeout_s is not None and not connection.can_read(timeout_s):
                connection.disconnect()
                raise _silent(timeout_s)
            return [self._read() for _ in commands]
        except self._refused as exc:  # the server does not let us in
            connection.disconnect()
            raise CommandError(f"Redis refused the connection: {exc}") from exc
        except self._locked as exc:
            connection.disconnect()
            raise RefusedError(str(exc)) from exc
        except self._lost as exc:
            connection.disconnect()
            raise ConnectionLostError(f"the connection to Redis was lost: {exc}") from exc

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except self._refused as exc:
            return exc


def connect(access: Access) -> RedisSession:
    """Connect: with redis-py if possible, else with the client in the container.

    Raises:
        ConnectionLostError: neither way leads there.
        SilentError: the server does not answer.
        CommandError: the server wants a password that is not known.
    """
    session: RedisSession = sessions.connect(
        access.service, "redis", lambda: DriverSession(access), lambda: CliSession(access)
    )
    # A limit on the memory of clients must not keep us out: only an open connection can lift it.
    with closed_on_failure(session.close):
        knows(session, ("CLIENT", "NO-EVICT", "on"))
    return session


_SCHEMES = ("redis", "rediss", "valkey", "valkeys")
_FILES = """
grep -hs '^ *requirepass ' "$@" *.conf /etc/redis.conf /etc/redis/*.conf /etc/valkey/*.conf \
  /usr/local/etc/redis/*.conf /usr/local/etc/valkey/*.conf
"""


def enter(service: Resettable) -> tuple[Access, RedisSession]:
    """Find the way into a service's server; it needs no more than a password.

    Raises:
        StackError: there is none: no known password opens it, or it cannot be reached.
    """
    declared = Access.of(service)
    server = server_of(service, "redis")
    if server is None:
        return declared, connect(declared)
    declared = replace(
        declared, port=server.port or declared.port, socket="" if server.port else server.socket
    )
    failures: list[StackError] = []
    for access in _ways(declared, server):
        try:
            return access, connect(access)
        except SilentError:
            raise
        except StackError as failure:
            failures.append(failure)
            if not isinstance(failure, CommandError | RefusedError):
                break  # another password would not help
    raise StackError(
        f"no way into {server}: {failures[0].message}",
        hint="set REDIS_PASSWORD to its password, or give other services a URL with it",
    )


def _ways(declared: Access, server: Server) -> Iterator[Access]:
    """Yield what may open it: what is declared, no password, then those that lie about."""
    yield declared
    tried = {(declared.user, declared.password)}
    for each in _credentials(declared.service, server):
        who = each.user or None, each.password or None
        if who not in tried:
            tried.add(who)
            yield replace(declared, user=who[0], password=who[1])


def _credentials(service: Resettable, server: Server) -> Iterator[Credential]:
    yield Credential()
    environment = Environment.of(service)
    found = candidates(service, environment, *_SCHEMES)
    yield from found
    for password in (*(each.password for each in found), *_in_files(environment, server)):
        yield Credential("", password)


def _in_files(environment: Environment, server: Server) -> list[str]:
    """Return the passwords in the configuration files that a server usually reads."""
    service = environment.service
    named = [word for word in environment.words if word.endswith(".conf")]
    command = ["sh", "-c", _FILES, "sh", *named]
    workdir = server.program.directory or None
    with suppress(EngineError):
        result = service.engine.exec(service.container(), command, user="0", workdir=workdir)
        lines = result.stdout.decode(errors="replace").splitlines()
        return [line.split(None, 1)[1].strip().strip("\"'") for line in lines]
    return []
