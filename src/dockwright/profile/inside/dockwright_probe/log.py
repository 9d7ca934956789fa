"""Appends records to this process's own file: a killed process loses at most its last one."""

from __future__ import annotations

import atexit
import marshal
import os
import sys
import time
from _thread import get_ident

TYPE_CHECKING = False  # typing itself takes longer to load than all of the probe
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Frame = tuple[str, int, str, int, bool]
    """File, line, function, identity of the frame while it lives, whether it is no library's."""


class _Real:
    """What a suite may replace: freezegun and pyfakefs do so in every module, not in a class."""

    clock = time.monotonic
    open, write, close = os.open, os.write, os.close
    getpid = os.getpid


def clock(real: Callable[[], float] = _Real.clock) -> float:
    """Return the seconds of the machine's monotonic clock, also where a suite has stopped it."""
    return real()


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
_FORMAT = 2  # marshal's: read by every Python 3

LEAST_S = 0.0002
"""Spans shorter than this are not worth their record."""

_INNERMOST = 3  # frames that are kept also when they are a library's
_PACKAGES_FRAMES = 2  # that are kept of installed packages, further out
_OWN_FRAMES = 6
_DEEPEST = 80
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - no pathlib at start
_kinds: dict[str, int] = {}
_OWN, _PACKAGE, _STANDARD, _PYTEST, _PROBE = range(5)


class Log:
    """The records of this process; until `begin` they go nowhere.

    The file is opened and closed for each record (10 µs): a descriptor kept open would be seen by
    suites that look for leaks, and closed by those that close everything.
    """

    def __init__(self) -> None:
        self._directory = ""
        self._path = ""

    def begin(self, directory: str) -> None:
        """Write to a new file in `directory` from now on, in forked children to files of theirs."""
        self._directory = directory
        self._head()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._head)
        atexit.register(self._end)

    def span(self, kind: str, begin: float, frames: tuple[Frame, ...], **detail: Any) -> None:
        """Note what ends now.

        Args:
            kind: what it is.
            begin: when it began, by `clock`.
            frames: who called it, from inside out.
            detail: more about it: plain values.
        """
        end = clock()
        if end - begin >= LEAST_S:
            self.write((kind, begin, end, get_ident(), frames, detail))

    def write(self, record: tuple[Any, ...]) -> None:
        """Append one record; silently none where that is not possible any more."""
        if not self._path:
            return
        try:
            descriptor = _Real.open(self._path, _FLAGS, 0o600)
        except OSError:
            return  # the profile has ended, or no descriptor is left: not the suite's concern
        try:
            _Real.write(descriptor, marshal.dumps(record, _FORMAT))
        except (OSError, ValueError):
            pass  # the disk is full; a value that is not plain
        finally:
            _Real.close(descriptor)

    def _head(self) -> None:
        now = clock()
        pid = _Real.getpid()
        self._path = f"{self._directory}/{pid}-{int(now * 1e9)}"
        head = {
            "pid": pid,
            "ppid": os.getppid(),
            "argv": list(getattr(sys, "orig_argv", ())),
            "in_test": os.environ.get("PYTEST_CURRENT_TEST", ""),
        }
        self.write(("process", now, now, get_ident(), (), head))

    def _end(self) -> None:
        now = clock()
        self.write(("exit", now, now, get_ident(), (), {}))


LOG = Log()
"""This process's."""


def frames(depth: int = 2) -> tuple[Frame, ...]:
    """Return who called, from inside out: the innermost three, and six that are no library's.

    Until the first of those, two of an installed package's as well: it may be the only one to name.

    Args:
        depth: how many frames further out the first one is.
    """
    frame = sys._getframe(depth)  # noqa: SLF001 - documented, and the only cheap way
    found: list[Frame] = []
    own = packages = 0
    for number in range(_DEEPEST):
        code = frame.f_code
        kind = _kind(code.co_filename)
        if kind == _PYTEST or own == _OWN_FRAMES:
            break
        is_own, is_package = kind == _OWN, kind == _PACKAGE
        more = is_package and not own and packages < _PACKAGES_FRAMES
        if is_own or more or (kind in (_PACKAGE, _STANDARD) and number < _INNERMOST):
            found.append((code.co_filename, frame.f_lineno, code.co_name, id(frame), is_own))
            own += is_own
            packages += is_package
        if frame.f_back is None:
            break
        frame = frame.f_back
    return tuple(found)


def _kind(file: str) -> int:
    kind = _kinds.get(file)
    if kind is None:
        kind = _kinds[file] = _kind_of(file)
    return kind


def _kind_of(file: str) -> int:
    if f"{os.sep}dockwright_probe{os.sep}" in file:
        return _PROBE
    if f"{os.sep}_pytest{os.sep}" in file or f"{os.sep}pluggy{os.sep}" in file:
        return _PYTEST
    installed = f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file
    if installed:
        return _PACKAGE
    return _STANDARD if file.startswith((_STANDARD_LIBRARY, "<frozen")) else _OWN
