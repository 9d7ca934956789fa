"""Ends work that blocks from another thread: after a time, or when nobody wants it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Unwanted: TypeAlias = Callable[[], bool]
"""Tells whether nobody waits any more for what is under way; asked from another thread."""

_ASKED_EVERY_S = 0.1


@contextmanager
def expiring(timeout_s: float, end: Callable[[], object]) -> Iterator[threading.Event]:
    """Call `end` if the block takes longer than `timeout_s` seconds.

    Yields:
        An event that is set when it did.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


@contextmanager
def ending(unwanted: Unwanted | None, end: Callable[[], object]) -> Iterator[None]:
    """Call `end` if the block becomes `unwanted`; None: it never does."""
    if unwanted is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_ASKED_EVERY_S):
            if unwanted():
                end()
                return

    watcher = threading.Thread(target=watch, name="dockwright-ending", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
