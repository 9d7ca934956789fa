"""The processor cores, shared by the starts and resets that keep them busy.

Copies that start or get new containers side by side on few cores slow each other and the tests.
Work whose use of the processor was measured waits here until there are cores for it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


class Cores:
    """Lets work in while the cores are not all busy, first come, first served; thread-safe.

    Args:
        count: how many cores there are; None: as many as this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or usable_cores()
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._busy = 0.0
        self._inside = 0
        self._open = False

    @contextmanager
    def taking(self, busy: float) -> Iterator[None]:
        """Wait until there are cores for some work; they are taken within the block.

        Args:
            busy: how many cores the work keeps busy; 0: that is not known, so it does not wait.
        """
        share = min(busy, float(self.count))
        if share:
            self._enter(share)
        try:
            yield
        finally:
            if share:
                self._leave(share)

    def open(self) -> None:
        """Let everything in from now on: what waits is to be called off."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def _enter(self, share: float) -> None:
        turn = object()
        with self._changed:
            self._queue.append(turn)
            while not self._may_enter(turn, share):
                self._changed.wait()
            self._queue.remove(turn)
            self._busy += share
            self._inside += 1
            self._changed.notify_all()

    def _may_enter(self, turn: object, share: float) -> bool:
        room = not self._inside or self._busy + share <= self.count
        return self._open or (self._queue[0] is turn and room)

    def _leave(self, share: float) -> None:
        with self._changed:
            self._inside -= 1
            self._busy = self._busy - share if self._inside else 0.0
            self._changed.notify_all()
