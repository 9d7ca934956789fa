"""The programs that run in a container, and the sockets on which they listen.

Where root runs this on the engine's host, ``/proc`` is read from there. Elsewhere one command in
the container reads it, so that it works on any engine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dockwright.engine.types import Document

if TYPE_CHECKING:
    from dockwright.engine.client import Engine

_SCRIPT = """
cd /proc && echo "self $$"
grep -H '' [0-9]*/stat
grep -H '^Uid' [0-9]*/status
ls -l [0-9]*/exe [0-9]*/cwd [0-9]*/fd/*
for name in tcp tcp6 unix; do
  while read -r line; do echo "net/$name:$line"; done <net/$name
done
grep -H '' [0-9]*/cwd/postmaster.pid
:
"""
"""Reads what `_Seen` holds; only what every shell, BusyBox and the GNU tools have in common."""

_SCRIPT_S = 10.0  # it takes 0.1 s; but a machine may be very busy
_LISTENS = "0A"
_ACCEPTS = 0x10000  # the flag of a listening socket in /proc/net/unix
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")
_LINE = re.compile(r"(\d+)/(stat|status|cwd/postmaster\.pid):(.*)")
_LINK = re.compile(r"(?:^|\s)(\d+)/(exe|cwd|fd/\d+) -> (.*)")
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Program:
    """One process of a container.

    Attributes:
        pid: its number, in the name space of whoever looked.
        parent: that of its parent.
        session: that of its session's leader.
        name: as the process calls itself.
        file: the path of the program in the container; empty: not known.
        user: the number of the user who runs it.
        directory: where it works; empty: not known.
        ports: the TCP ports on which it listens.
        reachable: those of them on which it listens for other containers.
        sockets: the paths of the Unix sockets on which it listens.
        lock_file: the ``postmaster.pid`` of its directory; empty: there is none.
    """

    pid: int
    parent: int
    session: int
    name: str
    file: str
    user: int
    directory: str
    ports: frozenset[int]
    reachable: frozenset[int]
    sockets: frozenset[str]
    lock_file: str

    @property
    def listens(self) -> bool:
        """Whether anybody can connect to it."""
        return bool(self.ports or self.sockets)

    @property
    def names(self) -> frozenset[str]:
        """What it may be called: the name of its file, and its own."""
        return frozenset({PurePosixPath(self.file).name, self.name} - {""})


@dataclass(slots=True)
class _Seen:
    """What ``/proc`` shows.

    Attributes:
        first: the pid of the container's first process.
        ours: the pids of the commands that look.
        stats: ``PID/stat`` by pid.
        users: user numbers by pid.
        links: where the links of a process lead, by pid and name.
        tables: the rows of ``net/tcp``, ``net/tcp6`` and ``net/unix``.
        lock_files: the lines of ``PID/cwd/postmaster.pid`` by pid.
    """

    first: int = 1
    ours: set[int] = field(default_factory=set)
    stats: dict[int, str] = field(default_factory=dict)
    users: dict[int, int] = field(default_factory=dict)
    links: defaultdict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    tables: defaultdict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(list))
    lock_files: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def programs(engine: Engine, details: Document) -> list[Program]:
    """Return the programs of a running container, without those that `exec` started there.

    Args:
        engine: where it runs.
        details: its inspect.

    Raises:
        EngineTimeoutError: a command in it took too long.
        EngineError: the engine cannot run a command in it.
    """
    pids = list(engine.inside(details).pids())
    seen = _from_host(details, pids) if pids else _from_container(engine, details["Id"])
    return list(_programs(seen))


def _from_host(details: Document, pids: Iterable[int]) -> _Seen:
    seen = _Seen(first=int(details["State"]["Pid"]))
    for pid in pids:
        process = Path(f"/proc/{pid}")
        with suppress(OSError):  # it has ended meanwhile
            seen.stats[pid] = (process / "stat").read_text(errors="replace")
            seen.users[pid] = process.stat().st_uid
            for name in ("exe", "cwd"):
                seen.links[pid][name] = str((process / name).readlink())
            for each in (process / "fd").iterdir():
                with suppress(OSError):
                    seen.links[pid][f"fd/{each.name}"] = str(each.readlink())
            lock_file = (process / "cwd/postmaster.pid").read_text(errors="replace")
            seen.lock_files[pid] = lock_file.splitlines()
    for name in ("tcp", "tcp6", "unix"):
        with suppress(OSError):
            table = Path(f"/proc/{seen.first}/net/{name}").read_text(errors="replace")
            seen.tables[name] = [line.split() for line in table.splitlines()]
    return seen


def _from_container(engine: Engine, container: str) -> _Seen:
    # Without privileges not even root may see what files other users' processes have open.
    seen = _Seen()
    if not _run_script(engine, container, seen, "0", privileged=True):
        _run_script(engine, container, seen, "0")
        for user in sorted(set(seen.users.values()) - {0}):
            _run_script(engine, container, seen, str(user))
    return seen


def _run_script(
    engine: Engine, container: str, seen: _Seen, user: str, *, privileged: bool = False
) -> bool:
    """Add what a user sees; return whether the engine could run the script."""
    command = ["sh", "-c", _SCRIPT]
    result = engine.exec(container, command, user=user, privileged=privileged, timeout_s=_SCRIPT_S)
    lines = result.stdout.decode(errors="replace").splitlines()
    if not lines or not lines[0].startswith("self "):
        return False
    seen.ours.add(int(lines[0].split()[1]))
    seen.tables.clear()
    for line in lines[1:]:
        if line.startswith("net/"):
            name, _, row = line.removeprefix("net/").partition(":")
            seen.tables[name].append(row.split())
        elif match := _LINE.match(line):
            _note(seen, int(match[1]), match[2], match[3])
        elif match := _LINK.search(line):
            seen.links[int(match[1])][match[2]] = match[3]
    return True


def _note(seen: _Seen, pid: int, file: str, text: str) -> None:
    if file == "stat":
        seen.stats[pid] = text
    elif file == "status":
        seen.users[pid] = int(text.split()[2])  # the effective one
    else:
        seen.lock_files[pid].append(text)


def _programs(seen: _Seen) -> Iterator[Program]:
    parsed = {pid: _parsed(text) for pid, text in seen.stats.items()}
    parents = {pid: parent for pid, (_, parent, _) in parsed.items()}
    # Each `exec` begins a session, and its parent is outside.
    execs = {
        pid for pid, parent in parents.items() if parent not in parents and pid != seen.first
    } | seen.ours
    ports, reachable, sockets = _listening(seen)
    for pid, (name, parent, session) in parsed.items():
        if session in execs or pid in execs:
            continue
        links = seen.links[pid]
        inodes = {match[1] for each in links.values() if (match := _SOCKET.fullmatch(each))}
        yield Program(
            pid=pid,
            parent=parent,
            session=session,
            name=name,
            file=links.get("exe", "").removesuffix(_DELETED),
            user=seen.users.get(pid, 0),
            directory=links.get("cwd", ""),
            ports=frozenset(ports[each] for each in inodes & ports.keys()),
            reachable=frozenset(ports[each] for each in inodes & reachable),
            sockets=frozenset(sockets[each] for each in inodes & sockets.keys()),
            lock_file="\n".join(seen.lock_files[pid]),
        )


def _parsed(stat: str) -> tuple[str, int, int]:
    """Return name, parent and session of a line of ``PID/stat``."""
    head, _, rest = stat.rpartition(")")
    _, parent, _, session, *_ = rest.split()
    return head.partition(" (")[2], int(parent), int(session)


def _listening(seen: _Seen) -> tuple[dict[str, int], set[str], dict[str, str]]:
    """Return by inode the ports and paths on which something listens; and who can be reached."""
    ports: dict[str, int] = {}
    reachable: set[str] = set()
    for row in (*seen.tables["tcp"], *seen.tables["tcp6"]):
        if len(row) > 9 and row[3] == _LISTENS:
            host, _, port = row[1].partition(":")
            ports[row[9]] = int(port, 16)
            reachable |= {row[9]} if host not in _LOOPBACK else set()
    sockets = {
        row[6]: row[7]
        for row in seen.tables["unix"]
        if len(row) > 7 and row[0] != "Num" and int(row[3], 16) & _ACCEPTS
    }
    return ports, reachable, sockets
