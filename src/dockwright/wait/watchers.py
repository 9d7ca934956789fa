"""What wakes a wait early: changes of files, readable descriptors, the end of a process."""

from __future__ import annotations

import os
import select
import selectors
import sys
import threading
from collections.abc import Callable
from pathlib import Path

Close = Callable[[], None]
"""Ends an observation; to be called once."""


def watch_fd(fd: int, on_readable: Callable[[], bool], close_fd: Callable[[], None]) -> Close:
    """Call `on_readable` whenever `fd` has something to read, until closed or it returns False.

    Args:
        fd: a pidfd, an inotify or a kqueue descriptor.
        on_readable: called in the thread; reads what there is, or the thread would spin.
        close_fd: closes `fd`, after the thread's end.
    """
    stop_reader, stop_writer = os.pipe()

    def listen() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            selector.register(stop_reader, selectors.EVENT_READ)
            while all(key.fd == fd for key, _ in selector.select()) and on_readable():
                pass

    thread = threading.Thread(target=listen, name="dockwright-fd", daemon=True)
    thread.start()

    def close() -> None:
        os.close(stop_writer)  # the reader sees the end of the pipe
        thread.join()
        os.close(stop_reader)
        close_fd()

    return close


def wake_on_change(path: Path, wake: Callable[[], None]) -> Close:
    """Call `wake` when something happens to `path`, or to its directory.

    Where the directory does not exist yet, the closest one above it is observed. It is a wakeup,
    not a verdict: network file systems and the mounts of virtual machines report nothing, so the
    caller looks now and then in any case.
    """
    path = path.absolute()
    # Not `Path.is_dir`, which raises where it may not look.
    directory = next((parent for parent in path.parents if os.path.isdir(parent)), None)  # noqa: PTH112
    close: Close | None = None
    if directory is None:  # the root itself: nothing happens to it
        return lambda: None
    entry = path.relative_to(directory).parts[0]
    if sys.platform == "linux":
        close = _by_inotify(directory, entry, wake)
    elif sys.platform == "darwin":
        close = _by_kqueue(directory, wake)
    return close or (lambda: None)


if sys.platform == "darwin":

    def _by_kqueue(directory: Path, wake: Callable[[], None]) -> Close | None:
        try:
            observed = os.open(directory, os.O_EVTONLY)
        except OSError:  # not readable for us
            return None
        queue = select.kqueue()
        event = select.kevent(
            observed,
            filter=select.KQ_FILTER_VNODE,
            flags=select.KQ_EV_ADD | select.KQ_EV_CLEAR,
            fflags=select.KQ_NOTE_WRITE | select.KQ_NOTE_DELETE | select.KQ_NOTE_RENAME,
        )
        queue.control([event], 0)

        def on_ready() -> bool:
            queue.control(None, 16, 0)
            wake()
            return True

        def close() -> None:
            queue.close()
            os.close(observed)

        return watch_fd(queue.fileno(), on_ready, close)


if sys.platform == "linux":

    def _by_inotify(directory: Path, entry: str, wake: Callable[[], None]) -> Close | None:
        # Loaded here, since it takes 20 ms that most runs never need.
        from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it has none

        try:
            inotify = INotify()
        except OSError:  # the user's limit of inotify instances is used up
            return None
        made_or_gone = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO
        changed = flags.MODIFY | flags.DELETE_SELF | flags.MOVE_SELF
        try:
            inotify.add_watch(directory, made_or_gone | changed)
        except OSError:  # not readable for us, gone meanwhile, or the limit of watches
            inotify.close()
            return None

        def on_ready() -> bool:
            # Others' files do not matter: a busy directory must not make a busy wait.
            if any(event.name in {entry, ""} for event in inotify.read(timeout=0)):
                wake()
            return True

        return watch_fd(inotify.fileno(), on_ready, inotify.close)


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

    def on_ready() -> bool:
        wake()
        return False  # a pidfd stays readable after the exit

    return watch_fd(fd, on_ready, close_fd)


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
        except OSError:  # it has ended already: the caller's next check shows that
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
