"""Learning at once that a process has ended: pidfd on Linux, kqueue on macOS."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable

from dockwright.wait.fd_watch import Close, watch_fd


def wake_on_exit(pid: int, wake: Callable[[], None]) -> Close:
    """Call `wake` once the process `pid` has ended, and where that cannot be observed, never.

    It is a wakeup, not a verdict: the caller looks at the process after this call and after each
    wake, and now and then in any case.
    """
    opened: tuple[int, Callable[[], None]] | None = None
    if sys.platform == "linux":
        opened = _open_pidfd(pid)
    elif sys.platform == "darwin":
        opened = _open_kqueue(pid)
    if opened is None:
        return lambda: None
    fd, close_fd = opened

    def tell() -> bool:
        wake()
        return False  # a pidfd stays readable after the exit

    return watch_fd(fd, tell, close_fd)


if sys.platform == "darwin":

    def _open_kqueue(pid: int) -> tuple[int, Callable[[], None]] | None:
        queue = select.kqueue()
        event = select.kevent(
            pid,
            filter=select.KQ_FILTER_PROC,
            flags=select.KQ_EV_ADD | select.KQ_EV_ONESHOT,
            fflags=select.KQ_NOTE_EXIT,
        )
        try:
            queue.control([event], 0)
        except OSError:  # it has ended already: the caller's next look tells
            queue.close()
            return None
        return queue.fileno(), queue.close


if sys.platform == "linux":

    def _open_pidfd(pid: int) -> tuple[int, Callable[[], None]] | None:
        try:
            fd = os.pidfd_open(pid)
        except OSError:  # it has ended already, or the kernel is older than 5.3
            return None
        return fd, lambda: os.close(fd)
