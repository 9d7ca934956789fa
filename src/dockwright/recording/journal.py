"""What happened to each copy of a stack, recorded by the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from dockwright.recording.record import Span, SpanPhase, StackRecord, UnitRecord

_MOST_SPANS = 50_000
"""Of unread spans; a run of 5,000 tests makes half as many. Then the oldest are dropped."""


class StackTimeline:
    """A thread-safe list of spans by copy; times on the monotonic clock.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._spans: list[tuple[str, Span]] = []

    def knows(self, project: str, name: str) -> None:
        """Record the name of a copy's declared stack."""
        with self._lock:
            self._names[project] = name

    def add(self, project: str, phase: SpanPhase, name: str, began: float, seconds: float) -> None:
        """Note what took time."""
        span = Span(phase, name, began, seconds)
        with self._lock:
            self._spans.append((project, span))
            if len(self._spans) > _MOST_SPANS:
                del self._spans[: _MOST_SPANS // 10]

    @contextmanager
    def noted(self, project: str, phase: SpanPhase, name: str = "") -> Iterator[None]:
        """Note the time inside, also where it fails."""
        began = self.clock()
        try:
            yield
        finally:
            self.add(project, phase, name, began, self.clock() - began)

    def drain(self, units: Mapping[str, tuple[UnitRecord, ...]]) -> tuple[StackRecord, ...]:
        """Return what was recorded since the last call, so that each second is reported once.

        Args:
            units: what the units of each copy used until now, by project.
        """
        with self._lock:
            spans, self._spans = self._spans, []
            names = dict(self._names)
        found: dict[str, list[Span]] = {project: [] for project in units}
        for project, span in spans:
            found.setdefault(project, []).append(span)
        return tuple(
            StackRecord(
                project,
                names.get(project, ""),
                tuple(sorted(own, key=_began)),
                units.get(project, ()),
            )
            for project, own in found.items()
        )


def _began(span: Span) -> float:
    return span.began_s
