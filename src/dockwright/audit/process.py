"""What a test changes about its own process: environment, working directory, signal handlers, ...

And what it leaves running, or lying about: child processes, threads, temporary files.

And whether it asked an engine to create something: others use the engine as well, so what is new
there is a test's doing only if the test asked for something of that kind.
"""

from __future__ import annotations

import locale
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dockwright.model import Trace

T = TypeVar("T")

_PYTESTS_OWN = "PYTEST_"
_ENDING_S = 0.1
"""How long a process or thread that was told to end may take."""
_PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python starts once and keeps until it ends."""
_OURS = "dockwright"

_CREATES = re.compile(
    rb"POST (?:https?://[^/ ]+)?(?:/v[\d.]+)?/(containers|networks|volumes)/create"
    rb"(?:\?(?:[^ ]*&)?name=([^& ]+))?"
)
_NAME_IN_BODY = re.compile(rb'"Name": ?"([^"]*)"')
_CLIENTS = re.compile(r"\b(docker|docker-compose|podman|nerdctl)\b")
_TEMPORARY = ("tempfile.mkstemp", "tempfile.mkdtemp")
_REMOVED_LATER = re.compile(r"pymp-.*|pytest-of-.*|popen-gw\d+")
"""Directories that Python removes when it ends, and those that pytest makes for tests."""
_STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A test's process at one moment.

    Attributes:
        environment: its variables.
        directory: where it works; empty: in a directory that was removed.
        settings: what else applies to all code in it, by kind and name.
        pids: the processes of this machine.
        threads: those that run in it.
    """

    environment: Mapping[str, str]
    directory: str
    settings: Mapping[tuple[str, str], object] = field(repr=False, default_factory=dict)
    pids: frozenset[int] = field(repr=False, default=frozenset())
    threads: frozenset[threading.Thread] = field(repr=False, default=frozenset())

    @classmethod
    def take(cls) -> ProcessState:
        """Return the state now."""
        directory = ""
        with suppress(OSError):
            directory = str(Path.cwd())
        return cls(
            dict(os.environ),
            directory,
            dict(_settings()),
            frozenset(_pids()),
            frozenset(threading.enumerate()),
        )

    def changes(self, end: ProcessState, after: ProcessState) -> Iterator[Trace]:
        """Return what a test changed and nothing changed back; fixtures do not count.

        Args:
            end: the state when the test's function had returned.
            after: the state when its fixtures were torn down.
        """
        for name in sorted(self.environment.keys() | end.environment.keys()):
            then, now = self.environment.get(name), end.environment.get(name)
            stayed = now == after.environment.get(name)
            if then != now and stayed and not name.startswith(_PYTESTS_OWN):
                how = "added" if then is None else "removed" if now is None else "changed"
                yield Trace("environment variable", name, how)
        if self.directory != end.directory == after.directory:
            yield Trace("working directory", end.directory or "(removed)", "changed")
        for place, was in self.settings.items():
            if was != end.settings.get(place, was) == after.settings.get(place):
                yield Trace(*place, "changed")

    def left_running(self, after: ProcessState, nodeid: str) -> list[Trace]:
        """Return the processes that a test started and that still run.

        Args:
            after: the state when the test's fixtures were torn down.
            nodeid: of the test; pytest puts it into the environment that processes inherit.
        """
        new = after.pids - self.pids
        started = _lasting(new, lambda pid: _belongs(pid, nodeid))
        return [Trace("process", command, "left running") for command in map(_command, started)]

    def left_threads(self, end: ProcessState) -> list[Trace]:
        """Return the threads that a test started and that still run.

        They may be a pool's that the next test uses as well.

        Args:
            end: the state when the test's function had returned.
        """
        new = [each for each in end.threads - self.threads if not each.name.startswith(_OURS)]
        return [
            Trace("thread", each.name, "left running", certain=False)
            for each in _lasting(new, threading.Thread.is_alive)
        ]


def _lasting(new: Iterable[T], lasts: Callable[[T], bool]) -> list[T]:
    """Return what is still there a moment later."""
    found = list(filter(lasts, new))
    deadline = time.monotonic() + _ENDING_S
    while found and time.monotonic() < deadline:
        time.sleep(_ENDING_S / 5)  # nothing wakes who waits for the end of another's child
        found = list(filter(lasts, found))
    return found


def _settings() -> Iterator[tuple[tuple[str, str], object]]:
    """Return what applies to all code of this process."""
    for number in signal.Signals:
        if (handler := signal.getsignal(number)) is not None:  # None: it is not Python's
            yield ("signal handler", number.name), handler
    yield ("umask", ""), _umask()
    yield ("locale", ""), locale.setlocale(locale.LC_ALL)
    # Some packages add their own directories when they are imported.
    yield ("sys.path", ""), tuple(each for each in sys.path if "-packages" not in each)
    yield ("recursion limit", ""), sys.getrecursionlimit()
    yield ("default timeout of sockets", ""), socket.getdefaulttimeout()


def _umask() -> str:
    """Return the mask for new files; empty where it could only be read by setting it."""
    with suppress(OSError, IndexError):
        return Path("/proc/self/status").read_text().partition("Umask:")[2].split()[0]
    return ""


def _is_removed_later(path: Path) -> bool:
    return any(_REMOVED_LATER.fullmatch(part) for part in path.parts)


def _pids() -> Iterator[int]:
    """Return the pids of this machine; none where it has no /proc."""
    with suppress(OSError):
        yield from (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208


def _belongs(pid: int, nodeid: str) -> bool:
    """Return whether a process runs that this one, or a test of it, has started."""
    with suppress(OSError, ValueError, IndexError):
        state, parent = _after_name(pid)[:2]
        if state in "ZX":
            return False
        if int(parent) == os.getpid():
            command = _command(pid)
            # The way to an engine over SSH is kept as well.
            return not any(each in command for each in ("dial-stdio", *_PYTHONS_OWN))
        wanted = f"PYTEST_CURRENT_TEST={nodeid} (call)".encode()
        return wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _after_name(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return b" ".join(words).decode(errors="replace")[:80]
    return f"with pid {pid}"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Something that an engine was asked to create.

    Attributes:
        kind: ``container``, ``network`` or ``volume``; empty: a client program was started, which
            may have created anything.
        name: its name; empty: the engine chose one.
    """

    kind: str = ""
    name: str = ""


class EngineRequests:
    """Notes what this process asks an engine to create, and its temporary files.

    Python reports what is sent over HTTP by its own client, which the Docker SDK uses, and which
    programs are started; a program that is started and talks to an engine itself is seen only if
    its command line names a client. It also reports what the module `tempfile` makes.
    """

    def __init__(self) -> None:
        self._requests: list[EngineRequest] = []
        self._temporary: list[Path] = []
        self._awaits_body = ""
        sys.addaudithook(self._note)

    def temporary(self, *, besides: str = "") -> list[Trace]:
        """Return the temporary files since the last call that are still there.

        Args:
            besides: a directory whose files do not count.
        """
        paths, self._temporary = self._temporary, []
        return [
            Trace(f"temporary {'directory' if path.is_dir() else 'file'}", str(path), "left behind")
            for path in paths
            if path.exists()
            and not _is_removed_later(path)
            and not (besides and path.is_relative_to(Path(besides).absolute()))
        ]

    def take(self) -> list[EngineRequest]:
        """Return the requests since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "http.client.send":
            self._note_sent(arguments[1])
        elif event in _TEMPORARY:
            self._temporary.append(Path(str(arguments[0])).absolute())
        elif event in _STARTS and _CLIENTS.search(repr(arguments[:2])):
            self._requests.append(EngineRequest())

    def _note_sent(self, data: object) -> None:
        kind, self._awaits_body = self._awaits_body, ""
        if not isinstance(data, bytes):
            return
        if kind:  # networks and volumes are named in the body, which follows the head
            found = _NAME_IN_BODY.search(data)
            self._requests.append(EngineRequest(kind, found[1].decode() if found else ""))
        elif head := _CREATES.match(data):
            kind = head[1].decode()[:-1]
            if kind == "container":
                self._requests.append(EngineRequest(kind, (head[2] or b"").decode()))
            else:
                self._awaits_body = kind
