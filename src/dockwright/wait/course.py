"""The course of one wait: how long it lasts, what wakes it, what is closed when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from dockwright.wait.loop import WaitOptions

T = TypeVar("T")


class Course:
    """One running wait, as whatever observes the target needs it.

    Attributes:
        options: the cadence, cancel token and clock.
        wakeup: to be set, from any thread, when it is worth checking again.
        closing: what to close when the wait ends, however it ends.
    """

    def __init__(self, timeout_s: float, options: WaitOptions) -> None:
        self.options = options
        self.wakeup = threading.Event()
        self.closing = ExitStack()
        self._ends = options.clock.now() + timeout_s
        self._shared: dict[type[Any], Any] = {}

    def remaining_s(self) -> float:
        """Return how long the wait still lasts, in seconds; never negative."""
        return max(0.0, self._ends - self.options.clock.now())

    def shared(self, kind: type[T], make: Callable[[], T]) -> T:
        """Return the wait's one object of this kind, made by the first who asks."""
        if kind not in self._shared:
            self._shared[kind] = make()
        found: T = self._shared[kind]
        return found
