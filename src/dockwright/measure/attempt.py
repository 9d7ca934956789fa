"""One attempt at a test as its process notes it, and the record that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockwright.measure.record import Lane, Outcome, Span, TestRecord
from dockwright.measure.tape import SHORTEST_S, Piece

SplitQueue = Callable[[Span, str], Iterable[Span]]
"""Tells why a test waited for a stack: a ``queue`` span and a project, and the spans instead."""


@dataclass(slots=True)
class Attempt:
    """One attempt at a test; times on the monotonic clock, which all processes here share.

    Attributes:
        nodeid: pytest's name for the test.
        worker: the process that runs it.
        stages: begin and end of ``setup``, ``call`` and ``teardown``, as far as they took place.
        pieces: what its process noted meanwhile (see `Tape`).
        outcome: how it ended so far.
        lane: how it uses a stack.
        stack: the project of the copy that it leased, or an empty text.
        uses: the fixtures of a wider scope that it uses.
    """

    nodeid: str
    worker: str
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    outcome: Outcome = "passed"
    lane: Lane = "none"
    stack: str = ""
    uses: Sequence[str] = ()

    @property
    def began(self) -> float:
        """When its first stage began."""
        return min(begin for begin, _ in self.stages.values())

    @property
    def ended(self) -> float:
        """When its last stage ended."""
        return max(end for _, end in self.stages.values())

    def note(self, stage: str, report: str, *, xfail: bool = False) -> None:
        """Note how a stage ended.

        Args:
            stage: ``setup``, ``call`` or ``teardown``.
            report: ``passed``, ``failed`` or ``skipped``, as pytest reports it.
            xfail: whether it was expected to fail.
        """
        if report == "failed":
            self.outcome = "failed" if stage == "call" else "error"
        elif report == "skipped":
            self.outcome = "xfailed" if xfail else "skipped"
        elif stage == "call" and xfail:
            self.outcome = "xpassed"

    def to_plain(self) -> list[Any]:
        """Return what xdist can send."""
        stages = [[stage, begin, end] for stage, (begin, end) in self.stages.items()]
        parts = (self.nodeid, self.worker, stages, self.pieces, self.outcome, self.lane)
        return [*parts, self.stack, self.uses]

    @classmethod
    def from_plain(cls, told: Sequence[Any]) -> Attempt:
        """Read what `to_plain` returned."""
        nodeid, worker, stages, *others = told
        return cls(nodeid, worker, {stage: (begin, end) for stage, begin, end in stages}, *others)

    def record(self, origin: float, split_queue: SplitQueue) -> TestRecord:
        """Return what is to be kept.

        Args:
            origin: the begin of the run, on the monotonic clock.
            split_queue: tells why it waited for a stack.
        """
        spans = [
            span for piece in self.pieces for span in _spans(piece, origin, split_queue, self.began)
        ]
        if "call" in self.stages:
            begin, end = self.stages["call"]
            spans += _rest(spans, begin - origin, end - origin)
        elapsed_s = self.ended - self.began
        other_s = elapsed_s - sum(span.seconds for span in spans)
        if other_s >= SHORTEST_S:
            spans.append(Span("other", "", self.began - origin, other_s))
        return TestRecord(
            nodeid=self.nodeid,
            worker=self.worker,
            began_s=self.began - origin,
            wall_s=sum(span.seconds for span in spans if not span.shared),
            outcome=self.outcome,
            lane=self.lane,
            stack=self.stack,
            spans=tuple(sorted(spans, key=lambda span: span.began_s)),
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


def uses_of(attempts: Iterable[Attempt]) -> Mapping[tuple[str, str], int]:
    """Return how many tests used each fixture of a wider scope, by worker and fixture."""
    counts: dict[tuple[str, str], int] = {}
    for attempt in attempts:
        for name in attempt.uses:
            counts[attempt.worker, name] = counts.get((attempt.worker, name), 0) + 1
    return counts
