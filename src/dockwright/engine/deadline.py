"""A limit of time for work that blocks and can be ended from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
