"""What else tests use: files, directories, addresses, processes; seen by Python's audit events.

They are either inputs of a result, or a reason not to trust it. What never becomes an audit event
(whether a file exists, the time, what a C library opens) is not seen; the documentation says so.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakSet

from dockwright.results.trace import OUTSIDE

_PROCESS_EVENTS = frozenset(
    {"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"}
)
_SOURCE_READERS = ("importlib", "_frozen_importlib", "linecache", "tokenize", "inspect", "_pytest")
"""Modules that read Python files to run or show them; the trace covers what they read."""

_OURS = ("dockwright", "testmon", "coverage", "_pytest", "pluggy", "xdist", "execnet")
SITES = tuple(
    f"{os.path.realpath(path)}/"
    for path in dict.fromkeys(
        [
            *(sysconfig.get_path(name) for name in ("purelib", "platlib")),
            *(each for each in sys.path if each.endswith(("site-packages", "dist-packages"))),
        ]
    )
)
"""Where distributions are installed."""

INSTALLED = (
    *SITES,
    *(
        f"{os.path.realpath(path)}/"
        for path in {
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
            *([sys.prefix] if sys.prefix != sys.base_prefix else []),
        }
    ),
)
"""Where Python and distributions are: their versions count, not their files."""

OWN = Path(__file__).resolve().parents[1]
"""Where dockwright is, perhaps in a checkout."""

TOOLS = frozenset({"__pycache__", ".pytest_cache", ".git", ".hypothesis", ".mypy_cache"})


@dataclass(slots=True)
class Observed:
    """What one context used.

    Attributes:
        reads: each file that it read, and the project's file that asked for it.
        listings: each directory that it listed, and the project's file that asked for it.
        writes: the files that it wrote: what it reads there later is its own.
        addresses: where it connected to.
        obstacles: why its outcome cannot be trusted to be the same again.
        stacks: the stacks that it leased.
        reachable: the addresses of these.
    """

    reads: set[tuple[str, str]] = field(default_factory=set)
    listings: set[tuple[str, str]] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    obstacles: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    reachable: set[str] = field(default_factory=set)


class Witness:
    """Sees what this process uses, from `start` to `stop`.

    Args:
        root: the project's root directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.context = OUTSIDE
        self.observed: dict[str, Observed] = {}
        self.metadata: set[str] = set()
        """The installed distributions whose metadata was read, by name and version."""
        self._active = False
        self._servers: WeakSet[Any] = WeakSet()
        self._temporary = f"{os.path.realpath(tempfile.gettempdir())}/"
        self._handlers: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._open,
            "os.listdir": self._list,
            "os.scandir": self._list,
            "socket.bind": self._bind,
            "socket.connect": self._connect,
            "sqlite3.connect": lambda args: self._read(args[0]),
        }

    def start(self) -> None:
        """Begin; Python cannot remove an audit hook, so it stays, and does nothing after `stop`."""
        self._active = True
        sys.addaudithook(self._hook)

    def stop(self) -> None:
        """End."""
        self._active = False

    def of(self, context: str) -> Observed:
        """Return what a context used."""
        return self.observed.setdefault(context, Observed())

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event in _PROCESS_EVENTS:
            if not _is_ours():
                self.of(self.context).obstacles.add("it starts processes")
        elif (handler := self._handlers.get(event)) is not None:
            handler(args)

    def _open(self, args: tuple[Any, ...]) -> None:
        path, mode, flags = args  # os.open gives no mode
        if isinstance(path, int):
            return
        only_writes = not mode.startswith("r") if mode else flags & os.O_ACCMODE == os.O_WRONLY
        if only_writes:
            observed, target = self.of(self.context), _absolute(path)
            if all(target != each for each, _ in observed.reads):  # else it has read its input
                observed.writes.add(target)
        else:
            self._read(path)

    def _read(self, given: object) -> None:
        found = self._place(given)
        if found is None:
            return
        path, via = found
        observed = self.of(self.context)
        if path.startswith(f"{self.root}/"):
            observed.reads.add((path, via))
        elif via:
            observed.obstacles.add(f"it reads {path}, outside the project")

    def _list(self, args: tuple[Any, ...]) -> None:
        found = self._place(args[0] if args and args[0] is not None else ".", listed=True)
        if found is not None and f"{found[0]}/".startswith(f"{self.root}/"):
            self.of(self.context).listings.add(found)

    def _place(self, given: object, *, listed: bool = False) -> tuple[str, str] | None:
        """Return a path, and the project's file that asked for it; None: it does not count."""
        if not isinstance(given, str | bytes | os.PathLike):
            return None
        path = _absolute(given)
        inside = path.startswith(f"{self.root}/")
        if ".dist-info/" in path and not self._callers()[0].startswith("dockwright"):
            self.metadata.add(Path(path).parent.stem)
        if path.startswith(INSTALLED) or not TOOLS.isdisjoint(path.split("/")):
            return None
        if not inside and f"{path}/".startswith(("/dev/", "/proc/", "/sys/", self._temporary)):
            return None
        reader, via = self._callers()
        if reader.startswith("dockwright"):
            return None
        if (listed or path.endswith(".py")) and reader.split(".")[0] in _SOURCE_READERS:
            return None
        if not via and reader.split(".")[0] in _OURS:
            return None
        return path, via

    def _callers(self) -> tuple[str, str]:
        """Return the module that opens a file, and the nearest file of the project above it."""
        reader = ""
        for frame in _frames():
            name = str(frame.f_globals.get("__name__", ""))
            file = _real(frame.f_code.co_filename)
            if not reader and name not in (__name__, "pathlib", "os", "glob", "pathlib._local"):
                reader = name
            if file.startswith(f"{self.root}/") and not file.startswith(INSTALLED):
                return reader, os.path.relpath(file, self.root)
        return reader, ""

    def _connect(self, args: tuple[Any, ...]) -> None:
        address = args[1]
        if _is_ours():
            return
        if not isinstance(address, tuple) or len(address) < 2:
            self.of(self.context).addresses.add(str(address))
        elif not self._is_own_server(address[1]):
            self.of(self.context).addresses.add(address_text(address[0], address[1]))

    def _bind(self, args: tuple[Any, ...]) -> None:
        self._servers.add(args[0])

    def _is_own_server(self, port: object) -> bool:
        """Return whether a server of this process listens on a port."""
        for each in list(self._servers):
            with suppress(OSError, IndexError, TypeError):
                if each.getsockname()[1] == port:
                    return True
        return False


def address_text(host: object, port: object) -> str:
    """Return how an address is compared; the names of this host are one."""
    text = str(host)
    local = text.startswith("127.") or text in ("localhost", "::1", "0.0.0.0", "::", "")  # noqa: S104
    return f"{'localhost' if local else text}:{port}"


@cache
def _real(file: str) -> str:
    return os.path.realpath(file)


def _absolute(path: object) -> str:
    return os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the only way to see callers
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours() -> bool:
    """Return whether dockwright itself does it, for a lease or to talk to its engine."""
    for frame in _frames():
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(("dockwright.pool", "dockwright.engine", "dockwright.pytest_plugin")):
            return True
    return False
