"""Learning at once that a file was made, changed or deleted: inotify on Linux, kqueue on macOS."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

from dockwright.wait.fd_watch import Close, watch_fd


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

        def tell() -> bool:
            queue.control(None, 16, 0)
            wake()
            return True

        def close() -> None:
            queue.close()
            os.close(observed)

        return watch_fd(queue.fileno(), tell, close)


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

        def tell() -> bool:
            # Others' files do not matter: a busy directory must not make a busy wait.
            if any(event.name in {entry, ""} for event in inotify.read(timeout=0)):
                wake()
            return True

        return watch_fd(inotify.fileno(), tell, inotify.close)
