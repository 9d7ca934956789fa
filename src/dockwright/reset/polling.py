"""Waits for what a server does in its own time, where no event tells that it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dockwright.errors import StackBrokenError

TIMEOUT_S = 10.0
_PAUSE_S = 0.001


def until_none(count: Callable[[], int], what: str) -> None:
    """Ask until the answer is 0.

    Args:
        count: asks.
        what: what is counted, for the message.

    Raises:
        StackBrokenError: it takes longer than 10 s.
    """
    deadline = time.monotonic() + TIMEOUT_S
    pause = threading.Event()
    while left := count():
        if time.monotonic() > deadline:
            raise StackBrokenError(f"there are still {left} {what} after {TIMEOUT_S:g} s")
        pause.wait(_PAUSE_S)
