"""What happens while a stack starts, told to whoever shows or records it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

UnitState: TypeAlias = Literal["image", "create", "start", "wait", "ready", "failed", "called off"]


@dataclass(frozen=True, slots=True)
class UnitEvent:
    """One unit (service or native process) reached a state.

    Attributes:
        unit: its name.
        state: what it does now.
        elapsed_s: seconds since the start of the whole stack.
        message: what a person should know beside that, e.g. pull progress.
    """

    unit: str
    state: UnitState
    elapsed_s: float
    message: str = ""


Listener: TypeAlias = Callable[[UnitEvent], None]


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Where the time of one start went, in seconds; the two add up to the whole.

    Attributes:
        start_s: while at least one engine call created or started something.
        wait_s: while all that was left was waiting for something to become ready.
    """

    start_s: float
    wait_s: float


class Stopwatch:
    """Splits a stretch of time into working and only waiting, over many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._busy = 0
        self._busy_since = 0.0
        self._busy_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stopwatch was made."""
        return self._clock() - self._began

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside as work, once, however many threads work at the same time."""
        with self._lock:
            if self._busy == 0:
                self._busy_since = self._clock()
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if self._busy == 0:
                    self._busy_s += self._clock() - self._busy_since

    def times(self) -> StartTimes:
        """Return the split so far."""
        with self._lock:
            return StartTimes(start_s=self._busy_s, wait_s=self.elapsed_s - self._busy_s)
