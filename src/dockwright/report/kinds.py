"""What a test that changes state costs beside one that only reads: medians of one run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from dockwright.measure import RunRecord, TestRecord

_FEWEST = 5  # the median of less says nothing
_BODY = ("call", "wait")


@dataclass(frozen=True, slots=True)
class Kind:
    """The passed tests of one kind that used a stack.

    Attributes:
        count: how many there were.
        whole_s: the median of their whole times: fixtures, waits and body, without what they share
            with others.
        around_s: the median of the same without their bodies.
    """

    count: int
    whole_s: float
    around_s: float


@dataclass(frozen=True, slots=True)
class Kinds:
    """The two kinds of tests of a run, compared.

    Attributes:
        stateless: those that only read.
        stateful: those that change state.
    """

    stateless: Kind
    stateful: Kind

    @property
    def whole(self) -> str:
        """The whole times; their ratio tells something where the bodies are alike."""
        reads, writes = self.stateless, self.stateful
        return (
            f"median test: stateless {reads.whole_s:.3f} s ({reads.count}), "
            f"stateful {writes.whole_s:.3f} s ({writes.count})"
        )

    @property
    def around(self) -> str:
        """What of it the tests did not do themselves."""
        reads, writes = self.stateless, self.stateful
        return (
            f"around its body: stateless {reads.around_s:.3f} s, stateful {writes.around_s:.3f} s"
        )


def kinds(run: RunRecord) -> Kinds | None:
    """Return the comparison; None where a kind has too few tests for it."""
    stateless, stateful = _kind(run, "stateless"), _kind(run, "stateful")
    return Kinds(stateless, stateful) if stateless and stateful else None


def _kind(run: RunRecord, lane: str) -> Kind | None:
    tests = [test for test in run.tests if test.outcome == "passed" and test.lane == lane]
    if len(tests) < _FEWEST:
        return None
    whole_s, around_s = median(test.wall_s for test in tests), median(map(_around_s, tests))
    return Kind(len(tests), whole_s, around_s)


def _around_s(test: TestRecord) -> float:
    return test.wall_s - sum(span.seconds for span in test.spans if span.phase in _BODY)
