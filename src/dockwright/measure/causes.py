"""Why a test waited for a stack: its waiting time laid over what happened to the copy it got.

What is concluded so is marked as not certain where other copies might have served as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dockwright.measure.record import QueueCause, Span, StackRecord

_CAUSES: Mapping[str, QueueCause] = {
    "start": "starting",
    "reset": "resetting",
    "lease": "in use",
}
"""What happened to the copy, and how its waiter is told; the first that fits counts."""

_SLIVER_S = 0.0005
"""Shorter parts are those of the request itself, and of clocks read in another order."""


class Causes:
    """Splits waiting times by what the copies did meanwhile.

    Args:
        stacks: the copies of the run.
    """

    def __init__(self, stacks: Iterable[StackRecord]) -> None:
        self._stacks = {stack.project: stack for stack in stacks}
        names = [stack.name for stack in self._stacks.values()]
        self._alone = {name for name in names if names.count(name) == 1}

    def split(self, waited: Span, project: str) -> Iterator[Span]:
        """Return the waiting time in parts, each with its cause as its name.

        Waiting for a boot is shared: whoever had come first would have waited for it.
        """
        stack = self._stacks.get(project)
        if stack is None:
            yield _part(waited, "asking", waited.began_s, waited.began_s + waited.seconds)
            return
        at, end = waited.began_s, waited.began_s + waited.seconds
        certain = stack.name in self._alone
        for begin, stop, cause in _occasions(stack.spans, at, end):
            if stop - max(at, begin) < _SLIVER_S:
                continue
            if begin - at >= _SLIVER_S:
                yield _part(waited, "asking", at, begin)
                at = begin
            yield _part(waited, cause, at, stop, certain=certain)
            at = stop
        if end > at:
            yield _part(waited, "asking", at, end)


def _part(
    waited: Span, cause: QueueCause, begin: float, end: float, *, certain: bool = True
) -> Span:
    return Span(
        "queue",
        cause,
        begin,
        end - begin,
        shared=waited.shared or cause == "starting",
        certain=certain,
    )


def _occasions(
    spans: Sequence[Span], begin: float, end: float
) -> Iterator[tuple[float, float, QueueCause]]:
    """Return what happened to a copy within a stretch of time, cut to it, in order."""
    found = sorted(
        (max(begin, span.began_s), min(end, span.began_s + span.seconds), _CAUSES[span.phase])
        for span in spans
        if span.phase in _CAUSES and span.began_s < end and span.began_s + span.seconds > begin
        # A lease that did not end is no cause: it is the waiter's own, or shared with it.
        if span.phase != "lease" or span.began_s + span.seconds <= end
    )
    for at, stop, cause in found:
        at = max(at, begin)
        if stop > at:
            yield at, stop, cause
            begin = stop
