"""Divides a test's time into spans, without holes and overlaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from dockwright.measure.attempt import Attempt
from dockwright.measure.record import Span, TestRecord
from dockwright.measure.tape import SHORTEST_S, Piece

SplitQueue: TypeAlias = Callable[[Span, str], Iterable[Span]]
"""Tells why a test waited for a stack: a ``queue`` span and a project, and the spans instead."""


def record_of(attempt: Attempt, origin: float, split_queue: SplitQueue) -> TestRecord:
    """Return what is to be kept of an attempt.

    Args:
        attempt: at a test.
        origin: the begin of the run, on the monotonic clock.
        split_queue: tells why it waited for a stack.
    """
    began, ended = attempt.began, attempt.ended
    spans = [span for piece in attempt.pieces for span in _spans(piece, origin, split_queue, began)]
    if "call" in attempt.stages:
        begin, end = attempt.stages["call"]
        spans += _rest(spans, begin - origin, end - origin)
    other_s = ended - began - sum(span.seconds for span in spans)
    if other_s >= SHORTEST_S:
        spans.append(Span("other", "", began - origin, other_s))
    return TestRecord(
        nodeid=attempt.nodeid,
        worker=attempt.worker,
        began_s=began - origin,
        wall_s=sum(span.seconds for span in spans if not span.shared),
        outcome=attempt.outcome,
        lane=attempt.lane,
        stack=attempt.stack,
        spans=tuple(sorted(spans, key=_began)),
    )


def _spans(piece: Piece, origin: float, split_queue: SplitQueue, earliest: float) -> Iterator[Span]:
    phase, name, begin, seconds, step, shared, project = piece
    if begin + seconds <= earliest:  # of a fixture that was closed between two tests
        return
    span = Span(phase, name, begin - origin, seconds, step, shared)
    if phase == "queue":
        yield from split_queue(span, project)
    else:
        yield span


def _rest(spans: Sequence[Span], begin: float, end: float) -> list[Span]:
    """Return the call's own time: what no other span within it takes."""
    inside = sorted((span for span in spans if begin <= span.began_s < end), key=_began)
    found = []
    for span in inside:
        found.append(Span("call", "", begin, span.began_s - begin))
        begin = span.began_s + span.seconds
    found.append(Span("call", "", begin, end - begin))
    return [span for span in found if span.seconds >= SHORTEST_S] or found[-1:]


def _began(span: Span) -> float:
    return span.began_s
