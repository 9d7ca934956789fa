"""The time of a wait, and how to end it from another thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol


class Clock(Protocol):
    """What a wait reads the time from and sleeps by; tests have one that never sleeps."""

    def now(self) -> float:
        """Return the time in seconds, from any fixed start; it never goes back."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Sleep until `event` is set, at most `timeout_s` seconds; tell whether it was set."""


class SystemClock:
    """The machine's monotonic clock, also in tests that have stopped it."""

    # freezegun replaces the function in every module, but not in a class: a wait has to time out.
    _monotonic = staticmethod(time.monotonic)

    def now(self) -> float:
        """Return seconds since some fixed moment."""
        return self._monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Sleep until `event` is set, at most `timeout_s` seconds; tell whether it was set."""
        return event.wait(timeout_s)


class CancelToken:
    """Ends waits from another thread: all that were given it, now and later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakeups: list[threading.Event] = []
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the waits were called off; None: they were not."""
        return self._reason

    def cancel(self, reason: str) -> None:
        """Call off every wait that bears this token; the first reason stays.

        Args:
            reason: why, for the error's message: ``the run is ending``.
        """
        with self._lock:
            self._reason = self._reason or reason
            for wakeup in self._wakeups:
                wakeup.set()

    @contextlib.contextmanager
    def waking(self, wakeup: threading.Event) -> Iterator[None]:
        """Set `wakeup` when the token is cancelled meanwhile."""
        with self._lock:
            self._wakeups.append(wakeup)
        try:
            yield
        finally:
            with self._lock:
                self._wakeups.remove(wakeup)
