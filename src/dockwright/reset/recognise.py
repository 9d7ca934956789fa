"""Which servers run in a container: known by what they are, never by the image's name.

A server is known by the program that listens, or by how it answers a client's first words. A
container comes back in place only if nothing else in it could keep state.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Literal

from dockwright.engine import parallel
from dockwright.engine.programs import Program, programs
from dockwright.engine.types import Document
from dockwright.errors import DockwrightError, EngineError
from dockwright.model import Address
from dockwright.reset.base import Resettable

Kind = Literal["postgres", "redis", "mysql"]

_PROGRAMS: Mapping[str, Kind] = {
    "postgres": "postgres",
    "postmaster": "postgres",
    "redis-server": "redis",
    "valkey-server": "redis",
    "keydb-server": "redis",
    "mysqld": "mysql",
    "mariadbd": "mysql",
}
_TITLES: Mapping[str, str] = {"mariadbd": "MariaDB", "valkey-server": "Valkey"}
_LIKELY = re.compile(r"postgres|postmaster|redis|valkey|keydb|dragonfly|mysql|maria|percona")
_USUAL_PORTS = frozenset({5432, 6379, 3306})
_KINDS: Mapping[Kind, str] = {"postgres": "PostgreSQL", "redis": "Redis", "mysql": "MySQL"}

_HELPERS = frozenset({
    "sh", "bash", "dash", "ash", "busybox", "sleep", "tail", "tee", "cat", "logger", "su", "sudo",
    "gosu", "su-exec", "runuser", "setpriv", "tini", "dumb-init", "docker-init", "catatonit",
    "s6-svscan", "s6-supervise", "supervisord", "runit", "runsvdir", "runsv", "svlogd", "multirun",
    "start-stop-daemon", "mysqld_safe", "mariadbd-safe", "pg_ctl",
})  # fmt: skip
"""Programs that start others, watch them or pass on what they write: they keep no state."""

DEADLINE_S = 0.25
"""How long a server may take to answer a client's first words."""

_LOOKS, _PAUSE_S = 2, 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """One server in a container.

    Attributes:
        kind: the strategy that resets it.
        title: what people call it.
        program: its main process.
        port: the TCP port on which it listens; 0: none.
        reachable: whether it listens there for other containers.
        socket: the path of its Unix socket; empty: it has none.
    """

    kind: Kind
    title: str
    program: Program
    port: int
    reachable: bool
    socket: str

    def __str__(self) -> str:
        where = f"port {self.port}" if self.port else self.socket or "no socket"
        return f"{self.title} on {where}"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What runs in a container.

    Attributes:
        servers: the servers that are known, one of each kind.
        unknown: why nothing is known about the rest, for a message; empty: there is no rest.
    """

    servers: tuple[Server, ...] = ()
    unknown: str = ""

    def of(self, kind: Kind) -> Server | None:
        """Return the server of this kind; None: there is none."""
        return next((each for each in self.servers if each.kind == kind), None)

    def __str__(self) -> str:
        return " and ".join(map(str, self.servers))


def recognise(service: Resettable) -> Recognised:
    """Look at what runs in a service's container.

    Raises:
        EngineError: the engine does not answer.
    """
    details = service.engine.inspect_container(service.container())
    if not details["State"]["Running"]:  # a job that has done its work
        return Recognised()
    seen = _look(service, details)
    for _ in range(_LOOKS):
        if not seen.unknown:
            break
        time.sleep(_PAUSE_S)  # a command of a script ends by itself
        seen = _look(service, details)
    return seen


def _look(service: Resettable, details: Document) -> Recognised:
    found = programs(service.engine, details)
    asked = [each for each in found if _by_name(each) is None and _is_worth_asking(each)]
    answers = parallel.run([partial(_by_greeting, service, each) for each in asked])
    greeted = {each.pid: kind for each, kind in zip(asked, answers, strict=True) if kind}
    return recognised(found, greeted)


def recognised(found: Sequence[Program], greeted: Mapping[int, Kind]) -> Recognised:
    """Return what programs are.

    Args:
        found: all programs of a container.
        greeted: what answered like a server, by pid.
    """
    kinds = {each.pid: kind for each in found if (kind := _by_name(each))}
    kinds.update(greeted)
    servers = [
        _server(each, kinds[each.pid])
        for each in found
        if each.pid in kinds and kinds.get(each.parent) != kinds[each.pid]
    ]
    servers.sort(key=lambda each: (each.title, each.port))
    return Recognised(tuple(servers), _rest(found, servers, kinds) if servers else "")


def server_of(service: Resettable, kind: Kind) -> Server | None:
    """Return the server of this kind in a service's container; None: there is none to be seen."""
    with suppress(EngineError):
        return recognise(service).of(kind)
    return None


def _by_name(program: Program) -> Kind | None:
    if program.lock_file and program.listens:
        return "postgres"
    return next((_PROGRAMS[name] for name in program.names if name in _PROGRAMS), None)


def _is_worth_asking(program: Program) -> bool:
    """Return whether a program may be a known server; others might not bear a stranger's words."""
    likely = any(map(_LIKELY.search, program.names))
    return likely or bool(program.reachable & _USUAL_PORTS)


def _by_greeting(service: Resettable, program: Program) -> Kind | None:
    for port in sorted(program.reachable):
        with suppress(DockwrightError):  # this host cannot reach it
            if kind := greeting(service.address(port)):
                return kind
    return None


def _server(program: Program, kind: Kind) -> Server:
    known = [_TITLES[each] for each in program.names if each in _TITLES]
    sockets = sorted(program.sockets, key=lambda path: ("mysqlx" in path, path))
    # MySQL listens for its X protocol too, Redis for its cluster: theirs are the higher ports.
    port = min(program.reachable or program.ports, default=0)
    return Server(
        kind,
        title=known[0] if known else _KINDS[kind],
        program=program,
        port=port,
        reachable=port in program.reachable,
        socket=sockets[0] if sockets else "",
    )


def _rest(found: Iterable[Program], servers: Sequence[Server], kinds: Mapping[int, Kind]) -> str:
    """Return what else could keep state in a container with servers; empty: nothing."""
    by_pid = {each.pid: each for each in found}
    heads = {each.program.pid for each in servers}
    titles = " and ".join(map(str, servers))
    if len(servers) > len({each.kind for each in servers}):
        return f"{titles} run in one container"
    starters = {pid for head in heads for pid in _ancestors(by_pid[head], by_pid)}
    for program in by_pid.values():
        if program.pid in kinds:
            continue
        helps = bool(program.names & _HELPERS)
        of_server = program.pid in starters or heads.intersection(_ancestors(program, by_pid))
        if program.ports or (program.sockets and not helps) or not (helps or of_server):
            name = PurePosixPath(program.file).name or program.name
            return f"{name} runs beside {titles}"
    return ""


def _ancestors(program: Program, by_pid: Mapping[int, Program]) -> list[int]:
    found: list[int] = []
    while (parent := by_pid.get(program.parent)) is not None and parent.pid not in found:
        found.append(parent.pid)
        program = parent
    return found


_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_WORDS: tuple[tuple[bytes, Mapping[bytes, Kind]], ...] = (
    (_SSL_REQUEST, {b"S": "postgres", b"N": "postgres"}),
    (b"PING\r\n", {b"+PONG": "redis", b"-NOAUTH": "redis", b"-DENIED": "redis"}),
)
_MYSQL_PROTOCOL = 10


def greeting(address: Address, *, within_s: float = DEADLINE_S) -> Kind | None:
    """Return what answers at an address like a server of a known kind; None: nothing does."""
    tries = parallel.run([partial(_answer, address, words, within_s) for words, _ in _WORDS])
    for (_, kinds), answer in zip(_WORDS, tries, strict=True):
        if len(answer) > 4 and answer[4] == _MYSQL_PROTOCOL and not answer[3]:
            return "mysql"  # it speaks first, whatever it is sent
        for start, kind in kinds.items():
            if answer.startswith(start) and (len(start) > 1 or len(answer) == 1):
                return kind
    return None


def _answer(address: Address, words: bytes, within_s: float) -> bytes:
    with (
        suppress(OSError),
        socket.create_connection((address.host, address.port), timeout=within_s) as connected,
    ):
        connected.settimeout(within_s)
        connected.sendall(words)
        return connected.recv(64)
    return b""
