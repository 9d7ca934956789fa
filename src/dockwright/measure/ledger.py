"""Adds up, over all threads of a run, the seconds that each phase took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["queue", "start", "wait", "fixture", "call", "reset", "cleanup"]

PHASES: Mapping[Phase, str] = {
    "queue": "tests waiting for a stack",
    "start": "creating and starting containers",
    "wait": "waiting until they are ready",
    "fixture": "other fixtures of tests with a stack",
    "call": "bodies of tests with a stack",
    "reset": "bringing used stacks back to their baseline",
    "cleanup": "removing stacks",
}
"""The phases in the order of a test's life, each with what it means."""


@dataclass(frozen=True, slots=True)
class PhaseTotal:
    """One phase, summed.

    Attributes:
        seconds: together; phases overlap, so that the sum over all may exceed the wall time.
        count: how often it was entered.
    """

    seconds: float = 0.0
    count: int = 0


class Ledger:
    """A thread-safe sum per phase."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._totals: dict[Phase, PhaseTotal] = {}

    def add(self, phase: Phase, seconds: float, count: int = 1) -> None:
        """Add `seconds` to `phase`."""
        with self._lock:
            total = self._totals.get(phase, PhaseTotal())
            self._totals[phase] = PhaseTotal(total.seconds + seconds, total.count + count)

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Add the time inside to `phase`."""
        began = self._clock()
        try:
            yield
        finally:
            self.add(phase, self._clock() - began)

    def drain(self) -> dict[Phase, PhaseTotal]:
        """Return the totals and begin anew, so that each second is told once."""
        with self._lock:
            totals, self._totals = self._totals, {}
        return {phase: totals[phase] for phase in PHASES if phase in totals}

    def totals(self) -> dict[Phase, PhaseTotal]:
        """Return what was entered so far, in the order of `PHASES`."""
        with self._lock:
            return {phase: self._totals[phase] for phase in PHASES if phase in self._totals}
