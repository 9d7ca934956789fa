"""One attempt at a test, as its process notes it; light, as all that is loaded there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockwright.measure.record import Lane, Outcome
    from dockwright.measure.tape import Piece


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


def uses_of(attempts: Iterable[Attempt]) -> Mapping[tuple[str, str], int]:
    """Return how many tests used each fixture of a wider scope, by worker and fixture."""
    counts: dict[tuple[str, str], int] = {}
    for attempt in attempts:
        for name in attempt.uses:
            counts[attempt.worker, name] = counts.get((attempt.worker, name), 0) + 1
    return counts
