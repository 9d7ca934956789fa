"""What is inside a container: files of its layer, volumes and tmpfs, mounts, processes.

On a local engine, root reads them from the host in a millisecond. Elsewhere the engine's API shows
less: which paths of the layer differ from the image, and the processes.
"""

from __future__ import annotations

import filecmp
import os
import re
import signal
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from dockwright.engine.types import Document
from dockwright.errors import EngineError

if TYPE_CHECKING:
    from dockwright.engine.containers import ContainerCalls

Sign: TypeAlias = tuple[int, ...]
"""Numbers that are other ones once a file was changed."""

_PS = "-eo pid,ppid,sid,stat,comm,args"
_RUNTIME = ("/run/", "/var/run/")  # rewritten at each start: contents and times do not count
_SHARED_MEMORY = re.compile(r"/dev/shm/PostgreSQL\.\d+")  # noqa: S108 - its parallel workers come and go
_COMMAND = 5
_LINKS_ALONE = 2
"""A control group without others in it has so many links."""
_START_STACK, _START_TIME, _MEMORY = 25, 19, 20
"""In /proc/PID/stat, counted from the state; see proc(5)."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where a server keeps its data: what is in the subdirectories there is its own business.

    Attributes:
        directories: paths in the container.
        owned: the names, directly in them, of what else the server writes; those of directories
            end with a slash.
    """

    directories: frozenset[str] = frozenset()
    owned: re.Pattern[str] = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a container.

    Attributes:
        pid: on the engine's host.
        started: when, in the kernel's ticks; 0: not known.
        parent: the pid of its parent.
        session: the pid of its session's leader. Each `exec` begins a session.
        kin: equal for a process and those that it forked, as long as they run no other program.
        name: of its program.
        halted: whether a signal has stopped it.
    """

    pid: int
    started: int
    parent: int
    session: int
    kin: str
    name: str
    halted: bool


class EngineInside:
    """What the engine's API shows of the inside of a container.

    Args:
        calls: the engine.
        details: the container's inspect.

    Attributes:
        complete: whether every write to a file shows, also to one that had changed before.
    """

    complete = False

    def __init__(self, calls: ContainerCalls, details: Document) -> None:
        self._calls = calls
        self._id: str = details["Id"]
        self._running: bool = details["State"]["Running"]
        self._commands: dict[int, str] = {}

    def files(self, ground: DataDirectory) -> dict[str, Sign]:
        """Return the paths of its layer that differ from the image, without their parents."""
        changes = {each["Path"]: int(each["Kind"]) for each in self._calls.changes(self._id)}
        parents = {str(parent) for path in changes for parent in Path(path).parents}
        within = tuple(f"{each}/" for each in ground.directories)
        return {
            path: (kind,)
            for path, kind in changes.items()
            if path not in parents and not path.startswith((*_RUNTIME, *within))
        }

    def processes(self) -> dict[int, Process]:
        """Return its processes by pid; those with one name count as kin."""
        if not self._running:
            return {}
        try:
            table = self._calls.top(self._id, _PS)["Processes"] or ()
        except EngineError:  # an engine with another `ps`
            return {}
        found = {}
        for row in (each for each in table if len(each) > _COMMAND):
            pid, parent, session = map(int, row[:3])
            state, name, self._commands[pid] = row[3:]
            found[pid] = Process(pid, 0, parent, session, name, name, state[0] in "tT")
        return found

    def mounts(self) -> frozenset[str]:
        """Return nothing: the API does not show what is mounted inside."""
        return frozenset()

    def like_the_image(self, path: str) -> bool:
        """Return whether a path of the layer is as in the image; here it is unknown."""
        del path
        return False

    def working_directories(self) -> frozenset[str]:
        """Return nothing: the API does not show them."""
        return frozenset()

    def end_session(self, leader: int) -> bool:
        """Return whether a command that `exec` started could be killed: not through the API."""
        del leader
        return False

    def pids(self) -> Iterator[int]:
        """Return nothing: this host does not see its processes."""
        return iter(())

    def command(self, pid: int) -> str:
        """Return the command line of one of its processes; empty where it has ended."""
        return self._commands.get(pid, "")

    def open_files(self, pids: Iterable[int]) -> frozenset[str]:
        """Return nothing: the API does not show them."""
        del pids
        return frozenset()


class HostInside(EngineInside):
    """The same, and more, as the engine's host sees it."""

    complete = True

    def __init__(self, calls: ContainerCalls, details: Document) -> None:
        super().__init__(calls, details)
        self._upper, *self._lower = _layers(details)
        self._proc = f"/proc/{details['State']['Pid']}" if self._running else None
        self._engines_files = [
            str(details[key]) for key in ("HostnamePath", "HostsPath", "ResolvConfPath")
        ]
        self._addresses = _addresses(details)
        self._volumes = {
            str(mount["Destination"]): str(mount["Source"])
            for mount in details["Mounts"]
            if mount["Type"] == "volume" and mount.get("Driver") == "local"
        }

    def files(self, ground: DataDirectory) -> dict[str, Sign]:
        """Return all files of its layer, its volumes and its tmpfs mounts."""
        found: dict[str, Sign] = {}
        roots = {"/": self._upper, **self._volumes, **self._tmpfs()}
        for place, root in roots.items():
            _walk(found, place.rstrip("/"), root, ground)
        for file in self._engines_files:
            with suppress(OSError):
                found[f"/etc/{os.path.basename(file)}"] = self._content_sign(file)
        return found

    def _content_sign(self, file: str) -> Sign:
        """Describe a file that the engine writes again at each start, with new addresses."""
        look, content = os.stat(file), _content(file)
        for address in self._addresses:
            content = content.replace(address, b"address")
        return look.st_mode, look.st_uid, look.st_gid, crc32(content)

    def processes(self) -> dict[int, Process]:
        """Return its processes by pid."""
        found = {}
        for pid in self.pids():
            with suppress(OSError, ValueError):  # it has ended meanwhile
                process = _process(_text(f"/proc/{pid}/stat"))
                if process is not None:
                    found[pid] = process
        return found

    def mounts(self) -> frozenset[str]:
        """Return what is mounted where."""
        return frozenset(f"{kind} {point}" for point, kind in self._mount_points)

    def like_the_image(self, path: str) -> bool:
        """Return whether a path of the layer is an unchanged copy of the image's."""
        upper = self._upper + path
        try:
            now = os.lstat(upper)
            for layer in self._lower:
                with suppress(FileNotFoundError, NotADirectoryError):
                    return _alike(layer + path, os.lstat(layer + path), upper, now)
        except OSError:
            return False
        return False

    def working_directories(self) -> frozenset[str]:
        """Return where its processes work: for a database's server that is its data directory."""
        found = set()
        for pid in self.pids():
            with suppress(OSError):
                found.add(str(Path(f"/proc/{pid}/cwd").readlink()))
        return frozenset(found - {"/"})

    def end_session(self, leader: int) -> bool:
        """Kill a command that `exec` started, and everything that the command has started."""
        doomed: set[int] = set()
        while found := self._of_session(leader, doomed):
            _signal(found, signal.SIGSTOP)  # it starts no other meanwhile
            doomed |= found
        _signal(doomed, signal.SIGKILL)
        return True

    def _of_session(self, leader: int, known: set[int]) -> set[int]:
        return {
            each.pid
            for each in self.processes().values()
            if each.session == leader or each.parent in known
        } - known

    def command(self, pid: int) -> str:
        """Return the command line of a process on the host; empty where it has ended."""
        with suppress(OSError):
            words = _content(f"/proc/{pid}/cmdline").split(b"\0")
            return b" ".join(words).decode(errors="replace").strip()
        return ""

    def open_files(self, pids: Iterable[int]) -> frozenset[str]:
        """Return the paths that these processes hold open."""
        found = set()
        for pid in pids:
            with suppress(OSError):
                for file in os.scandir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        found.add(str(Path(file).readlink()))
        return frozenset(found)

    def pids(self) -> Iterator[int]:
        """Return the pids, on this host, of its processes."""
        if self._proc is None:
            return
        with suppress(OSError):
            group = _cgroup(self._proc)
            inner = os.stat(group).st_nlink > _LINKS_ALONE
            for directory in (each[0] for each in os.walk(group)) if inner else (group,):
                yield from map(int, _content(f"{directory}/cgroup.procs").split())

    @cached_property
    def _mount_points(self) -> list[tuple[str, str]]:
        """Return (mount point, type of file system), as the container sees them."""
        if self._proc is None:
            return []
        with suppress(OSError):
            return _mount_points(_text(f"{self._proc}/mountinfo"))
        return []

    def _tmpfs(self) -> Mapping[str, str]:
        return {
            point: f"{self._proc}/root{point}"
            for point, kind in self._mount_points
            if kind == "tmpfs" and not point.startswith(("/proc", "/sys")) and point != "/dev"
        }


@lru_cache(64)
def _mount_points(text: str) -> list[tuple[str, str]]:
    """Read a mountinfo, which seldom changes."""
    left_right = (line.split(" - ", 1) for line in text.splitlines())
    return [(left.split()[4], right.split()[0]) for left, right in left_right]


class MainProcess:
    """The first process of a container, as the kernel of this host knows it.

    The kernel knows of its end before the engine does, on every engine.

    Args:
        pid: on this host.
    """

    def __init__(self, pid: int) -> None:
        self._place = f"/proc/{pid}"
        self._process = _process(_text(f"{self._place}/stat"))
        self._group = _cgroup(self._place, "freezer")

    @classmethod
    def of(cls, details: Document) -> MainProcess | None:
        """Return that of a container that runs; None where this host cannot see it.

        Args:
            details: the container's inspect.
        """
        pid = int(details["State"].get("Pid") or 0)
        with suppress(OSError, ValueError):
            if pid and _is_process_on_this_host(details):
                return cls(pid)
        return None

    @property
    def has_ended(self) -> bool:
        """Whether it is gone, even if another process has its pid now."""
        try:
            now = _process(_text(f"{self._place}/stat"))
        except (OSError, ValueError):
            return True
        known = self._process
        return known is None or now is None or now.started != known.started

    @property
    def is_frozen(self) -> bool:
        """Whether its container is paused."""
        return any(self._says(file, word) for file, word in _FROZEN)

    def _says(self, file: str, word: str) -> bool:
        with suppress(OSError):
            return _text(f"{self._group}/{file}").strip() == word
        return False


def received(details: Document) -> tuple[int, ...] | None:
    """Return how many TCP segments and UDP datagrams a container has received.

    Args:
        details: the container's inspect.

    Returns:
        The counts, which only grow; None where this host cannot see them.
    """
    pid = int(details["State"].get("Pid") or 0)
    if not pid or not _is_process_on_this_host(details):
        return None
    with suppress(OSError, KeyError, ValueError):
        return _received(f"/proc/{pid}/net")
    return None


def _received(net: str) -> tuple[int, ...]:
    """Return the counts of a network namespace; those of TCP hold both versions of IP."""
    rows = [line.split() for line in _text(f"{net}/snmp").splitlines()]
    counts = {
        (names[0], name): int(value)
        for names, values in zip(rows[::2], rows[1::2], strict=False)
        for name, value in zip(names[1:], values[1:], strict=False)
    }
    found = [counts["Tcp:", "InSegs"], counts["Udp:", "InDatagrams"]]
    found.append(counts.get(("UdpLite:", "InDatagrams"), 0))
    with suppress(FileNotFoundError):  # a kernel without IPv6
        lines = map(str.split, _text(f"{net}/snmp6").splitlines())
        found += [int(count) for name, count in lines if name in _RECEIVED_6]
    return tuple(found)


_RECEIVED_6 = ("Udp6InDatagrams", "UdpLite6InDatagrams")

_FROZEN = (("freezer.state", "FROZEN"), ("cgroup.freeze", "1"))  # cgroup versions 1 and 2


def look_inside(calls: ContainerCalls, details: Document, *, local: bool) -> EngineInside:
    """Return what can be seen of a container's inside from here.

    Args:
        calls: the engine.
        details: the container's inspect.
        local: whether the engine's socket is on this host.
    """
    seen = local and os.geteuid() == 0 and _is_on_this_host(details)
    return HostInside(calls, details) if seen else EngineInside(calls, details)


def _is_on_this_host(details: Document) -> bool:
    layers = _layers(details)
    if len(layers) < 2 or not os.path.isdir(layers[0]):
        return False
    return not details["State"]["Running"] or _is_process_on_this_host(details)


def _is_process_on_this_host(details: Document) -> bool:
    with suppress(OSError):
        return details["Id"] in _text(f"/proc/{details['State']['Pid']}/cgroup")
    return False


def _layers(details: Document) -> list[str]:
    """Return the directories of a container's file system, the writable one first.

    The containerd image store does not report them: there they are read from the mount.
    """
    reported = (details.get("GraphDriver") or {}).get("Data") or {}
    if reported.get("UpperDir") and reported.get("LowerDir"):
        return [str(reported["UpperDir"]), *str(reported["LowerDir"]).split(":")]
    if not details["State"]["Running"] or not _is_process_on_this_host(details):
        return []
    with suppress(OSError):
        lines = _text(f"/proc/{details['State']['Pid']}/mountinfo")
        root = next((line for line in lines.splitlines() if line.split()[4] == "/"), "")
        return _overlay_layers(root)
    return []


def _overlay_layers(line: str) -> list[str]:
    """Return the directories of an overlay from its line in mountinfo, the writable one first."""
    kind, _, options = line.partition(" - ")[2].partition(" ")
    upper, lower = "", []
    for key, _, value in (each.partition("=") for each in options.rpartition(" ")[2].split(",")):
        if key == "upperdir":
            upper = value
        elif key in ("lowerdir", "lowerdir+"):
            lower += value.split(":")
    absolute = all(place.startswith("/") for place in (upper, *lower))
    return [upper, *lower] if kind == "overlay" and upper and absolute else []


def _addresses(details: Document) -> list[bytes]:
    """Return the container's own addresses, as its hosts file has them, the longest first."""
    endpoints = (details["NetworkSettings"].get("Networks") or {}).values()
    values = (each.get(key) for each in endpoints for key in ("IPAddress", "GlobalIPv6Address"))
    return sorted((value.encode() for value in values if value), key=len, reverse=True)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _walk(found: dict[str, Sign], place: str, root: str, ground: DataDirectory) -> None:
    with suppress(OSError):
        top = os.stat(root)
        found[f"{place}/"] = (top.st_mode, top.st_uid, top.st_gid)
    pending = [(place, root)]
    while pending:
        place, directory = pending.pop()
        kept = place in ground.directories
        with suppress(OSError):  # it has gone meanwhile
            for entry in os.scandir(directory):
                path = f"{place}/{entry.name}"
                if entry.name == "__pycache__" or _SHARED_MEMORY.fullmatch(path):
                    continue
                with suppress(FileNotFoundError):
                    look = entry.stat(follow_symlinks=False)
                    name = entry.name + "/" * stat.S_ISDIR(look.st_mode)
                    if kept and ground.owned.fullmatch(name):
                        continue
                    if not stat.S_ISDIR(look.st_mode):
                        found[path] = _sign(look, runtime=path.startswith(_RUNTIME))
                        continue
                    found[path] = (look.st_mode, look.st_uid, look.st_gid, look.st_ino)
                    if not kept:
                        pending.append((path, entry.path))


def _sign(look: os.stat_result, *, runtime: bool = False) -> Sign:
    owner = (look.st_mode, look.st_uid, look.st_gid, look.st_rdev)
    # Nobody can set the time of a change (ctime): it gives away every write, chmod and setfattr.
    return owner if runtime else (*owner, look.st_ino, look.st_size, look.st_ctime_ns)


def _alike(below: str, before: os.stat_result, above: str, now: os.stat_result) -> bool:
    same_owner = (before.st_mode, before.st_uid, before.st_gid) == (
        now.st_mode,
        now.st_uid,
        now.st_gid,
    )
    if not same_owner or _attributes(below) != _attributes(above):
        return False
    if stat.S_ISDIR(now.st_mode):
        return True
    if stat.S_ISLNK(now.st_mode):
        return Path(below).readlink() == Path(above).readlink()
    same = (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    return same and stat.S_ISREG(now.st_mode) and filecmp.cmp(below, above, shallow=False)


def _attributes(path: str) -> dict[str, bytes]:
    """Return extended attributes, of overlayfs's own the one that hides what lies below."""
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if ".overlay." not in name or name.endswith("opaque")
    }


def _process(text: str) -> Process | None:
    """Read /proc/PID/stat; None for a process that has ended and not been waited for.

    One without memory is ending: a container's first process waits until all others are gone.
    """
    head, _, rest = text.rpartition(")")
    pid, _, name = head.partition(" (")
    state, parent, _, session, *fields = rest.split()
    numbers = ["", "", "", "", *fields]
    if state in "ZX" or numbers[_MEMORY] == "0":
        return None
    started, kin = int(numbers[_START_TIME]), numbers[_START_STACK]
    return Process(int(pid), started, int(parent), int(session), kin, name, state in "tT")


def _cgroup(process: str, controller: str = "pids") -> str:
    """Return the directory of a process's control group, of either version."""
    root = "/sys/fs/cgroup"
    for line in _text(f"{process}/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if controller in controllers.split(","):
            return f"{root}/{controllers}/{place.lstrip('/')}"
    return f"{root}/{place.lstrip('/')}"


def _content(file: str) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        return opened.read()


def _text(file: str) -> str:
    return _content(file).decode(errors="replace")
