"""What one thread did, one stretch of time after the other, without holes and overlaps.

Light: it is imported by every pytest process that records, and costs a few microseconds a stretch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

SHORTEST_S = 50e-6
"""A shorter stretch is not kept: it is part of what a test's ``other`` time is."""

Piece: TypeAlias = list[Any]
"""A stretch as it travels: phase, name, begin (monotonic), seconds, step, shared, project."""


@dataclass(slots=True)
class Open:
    """Something that is under way.

    Attributes:
        phase: what kind of thing.
        name: which.
        step: ``setup`` or ``teardown`` of a fixture; else empty.
        shared: whether others have their use of it too.
        project: the stack that it was about, once that is known.
    """

    phase: str
    name: str
    step: str = ""
    shared: bool = False
    project: str = ""


class Tape:
    """Notes what the thread that made it does; what other threads do is passed over.

    Args:
        clock: tells the time, in seconds; comparable between the processes of this machine.

    Attributes:
        recording: whether anything is noted; False until somebody wants it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.recording = False
        self._thread = threading.get_ident()
        self._open: list[Open] = []
        self._since = 0.0
        self._pieces: list[Piece] = []

    @contextmanager
    def span(self, what: Open) -> Iterator[Open]:
        """Note the time inside; what is noted within it is taken out."""
        began = self.begin(what)
        try:
            yield what
        finally:
            if began:
                self.end(what)

    def begin(self, what: Open) -> bool:
        """Note that something begins; tell whether it was noted."""
        if not self.recording or threading.get_ident() != self._thread:
            return False
        self._cut()
        what.shared = what.shared or bool(self._open and self._open[-1].shared)
        self._open.append(what)
        return True

    def end(self, what: Open) -> None:
        """Note that it ends, and with it what began within it."""
        if what in self._open:
            self._cut()
            while self._open.pop() is not what:
                pass

    def take(self) -> list[Piece]:
        """Return what was noted since the last time; what is under way goes on."""
        self._cut()
        pieces, self._pieces = self._pieces, []
        return pieces

    def _cut(self) -> None:
        """End the stretch of what is under way, and begin its next one."""
        now = self.clock()
        seconds = now - self._since
        if self._open and seconds >= SHORTEST_S:
            it = self._open[-1]
            self._pieces.append(
                [it.phase, it.name, self._since, seconds, it.step, it.shared, it.project]
            )
        self._since = now
