"""What a test changes about its own process: environment, working directory, child processes.

And whether it asked an engine to create something: others use the engine as well, so what is new
there is a test's doing only if the test asked for something of that kind.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.model import Trace

_PYTESTS_OWN = "PYTEST_"
_ENDING_S = 0.1
"""How long a terminated process may take to end."""

_CREATES = re.compile(
    rb"POST (?:https?://[^/ ]+)?(?:/v[\d.]+)?/(containers|networks|volumes)/create"
    rb"(?:\?(?:[^ ]*&)?name=([^& ]+))?"
)
_NAME_IN_BODY = re.compile(rb'"Name": ?"([^"]*)"')
_CLIENTS = re.compile(r"\b(docker|docker-compose|podman|nerdctl)\b")
_STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A test's process at one moment.

    Attributes:
        environment: its variables.
        directory: where it works; empty: in a directory that was removed.
        pids: the processes of this machine.
    """

    environment: Mapping[str, str]
    directory: str
    pids: frozenset[int] = field(repr=False)

    @classmethod
    def take(cls) -> ProcessState:
        """Return the state now."""
        directory = ""
        with suppress(OSError):
            directory = str(Path.cwd())
        return cls(dict(os.environ), directory, frozenset(_pids()))

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

    def left_running(self, after: ProcessState, nodeid: str) -> list[Trace]:
        """Return the processes that a test started and that still run.

        Args:
            after: the state when the test's fixtures were torn down.
            nodeid: of the test; pytest puts it into the environment that processes inherit.
        """
        started = [pid for pid in after.pids - self.pids if _belongs(pid, nodeid)]
        deadline = time.monotonic() + _ENDING_S
        while started and time.monotonic() < deadline:
            time.sleep(_ENDING_S / 5)  # the kernel tells only a parent that a process has ended
            started = [pid for pid in started if _belongs(pid, nodeid)]
        return [Trace("process", command, "left running") for command in map(_command, started)]


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
            return "dial-stdio" not in _command(pid)  # the way to an engine over SSH
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
    """Notes what this process asks an engine to create.

    Python reports what is sent over HTTP by its own client, which the Docker SDK uses, and which
    programs are started; a program that is started and talks to an engine itself is seen only if
    its command line names a client.
    """

    def __init__(self) -> None:
        self._requests: list[EngineRequest] = []
        self._awaits_body = ""
        sys.addaudithook(self._note)

    def take(self) -> list[EngineRequest]:
        """Return the requests since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "http.client.send":
            self._note_sent(arguments[1])
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
