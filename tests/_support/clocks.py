"""A clock for unit tests: it sleeps by moving its hands."""

from __future__ import annotations

import threading
from collections.abc import Callable


class FakeClock:
    """Time passes only while somebody waits; `during` is called with the time when one begins."""

    def __init__(self, during: Callable[[float], None] = lambda _: None) -> None:
        self.time_s = 0.0
        self.pauses: list[float] = []
        self._during = during

    def now(self) -> float:
        return self.time_s

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.pauses.append(timeout_s)
        self._during(self.time_s)
        if event.is_set():
            return True
        self.time_s += timeout_s
        return False
