"""The values of each measure over many runs, without what the machine adds to all of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from dockwright.history.measures import Measure, measures_of
from dockwright.recording import RunStore, StoredRun

FEWEST_TESTS = 5
"""With fewer tests, a slower machine cannot be distinguished from slower tests."""

_LONG_S, _MANY = 0.050, 20
"""The machine is judged by tests of 50 ms and more: shorter ones differ by half for any reason.
Where nearly all are short, many of them together will do."""

_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True)
class Series:
    """What runs measured.

    Attributes:
        runs: the runs, oldest first.
        values: of each measure, by the index of the run; a run may lack some.
        factors: by how much each run was slower than usual in everything, as a natural logarithm.
    """

    runs: Sequence[StoredRun]
    values: Mapping[Measure, Mapping[int, float]]
    factors: Sequence[float]

    @classmethod
    def of(cls, runs: Sequence[StoredRun], values: Mapping[Measure, Mapping[int, float]]) -> Series:
        """Return the series, with the factors of the runs."""
        return cls(runs, values, _factors(len(runs), values))

    def of_runs(self, runs: Collection[str]) -> Series:
        """Return the series of some of the runs, by their ids."""
        kept = [at for at, run in enumerate(self.runs) if run.id in runs]
        if len(kept) == len(self.runs):
            return self
        places = {at: place for place, at in enumerate(kept)}
        values = {
            measure: {places[at]: value for at, value in by_run.items() if at in places}
            for measure, by_run in self.values.items()
        }
        return Series.of(
            [self.runs[at] for at in kept],
            {measure: by_run for measure, by_run in values.items() if by_run},
        )

    def corrected(self, measure: Measure) -> list[tuple[int, float]]:
        """Return the index and the logarithm of each value, without the run's factor."""
        factors = [0.0] * len(self.runs) if measure.in_bytes else self.factors
        values = self.values[measure]
        return [(at, logarithm(values[at]) - factors[at]) for at in sorted(values)]


def read(store: RunStore, runs: Iterable[StoredRun], *, stacks_of: Container[str] = ()) -> Series:
    """Read the series of some runs.

    Args:
        store: of the runs.
        runs: in any order.
        stacks_of: ids of the runs of which to read what stacks took and used as well; that takes
            some milliseconds per run.
    """
    ordered = sorted(runs, key=lambda run: (run.began_s, run.id))
    places = {run.id: at for at, run in enumerate(ordered)}
    values: dict[Measure, dict[int, float]] = {}
    for test in store.tests_of(list(places)):
        if test.outcome == "passed":
            measure = Measure("test", test.nodeid)
            values.setdefault(measure, {})[places[test.run]] = test.wall_s - test.queue_s
    for run in ordered:
        if run.id not in stacks_of:
            continue
        record = store.load(run.id, without=("tests", "samples"))
        for measure, value in measures_of(record).items():
            values.setdefault(measure, {})[places[run.id]] = value
    return Series.of(ordered, values)


def logarithm(value: float) -> float:
    """Return the natural logarithm: a change of 10 % is as large in a short test as in a long."""
    return math.log(max(value, _SHORTEST))


def _factors(runs: int, values: Mapping[Measure, Mapping[int, float]]) -> list[float]:
    """Return the median of the tests' deviations from their own medians, by run."""
    usual = {
        measure: median(by_run.values())
        for measure, by_run in values.items()
        if measure.kind == "test"
    }
    long = [measure for measure, seconds in usual.items() if seconds >= _LONG_S]
    judges, fewest = (long, FEWEST_TESTS) if len(long) >= FEWEST_TESTS else (list(usual), _MANY)
    deviations: list[list[float]] = [[] for _ in range(runs)]
    for measure in judges:
        middle = logarithm(usual[measure])
        for at, value in values[measure].items():
            deviations[at].append(logarithm(value) - middle)
    return [median(each) if len(each) >= fewest else 0.0 for each in deviations]
