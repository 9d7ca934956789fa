"""What a test that changes state costs beside one that only reads: medians of one run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from dockwright.measure import RunRecord

_FEWEST = 5  # the median of less says nothing


@dataclass(frozen=True, slots=True)
class Kinds:
    """The two kinds of tests of a run, compared.

    Attributes:
        stateless_s: median whole time of a passed `stateless` test with a stack: its fixtures, its
            waits and its body, without what it shares with others.
        stateless: how many there were.
        stateful_s: the same of `stateful` tests.
        stateful: how many there were.
    """

    stateless_s: float
    stateless: int
    stateful_s: float
    stateful: int

    def __str__(self) -> str:
        ratio = f": {self.stateful_s / self.stateless_s:.2f} x" if self.stateless_s else ""
        return (
            f"median test: stateless {self.stateless_s:.3f} s ({self.stateless}), "
            f"stateful {self.stateful_s:.3f} s ({self.stateful}){ratio}"
        )


def kinds(run: RunRecord) -> Kinds | None:
    """Return the comparison; None where a kind has too few tests for it."""
    times: dict[str, list[float]] = {"stateless": [], "stateful": []}
    for test in run.tests:
        if test.outcome == "passed" and test.lane in times:
            times[test.lane].append(test.wall_s)
    stateless, stateful = times["stateless"], times["stateful"]
    if min(len(stateless), len(stateful)) < _FEWEST:
        return None
    return Kinds(median(stateless), len(stateless), median(stateful), len(stateful))
