"""A thread that tells when a file descriptor of the system reports something."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable

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
