"""What many runs look like over time: whole runs, the tests that grew most, flaky tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dockwright.errors import UsageError
from dockwright.history.flaky import FlakyTest, flaky_tests
from dockwright.history.measures import Limits, Measure
from dockwright.history.search import Regressions, Search, regressions
from dockwright.history.series import Series, read
from dockwright.recording import RunStore

_MOST_SHOWN = 30
_ENDS = 5
"""Values at each end of a series whose medians are compared to find what grew."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The latest runs of a branch.

    Attributes:
        series: what they measured.
        walls_s: how long each run took.
        own_s: what the tests of each run took by themselves, together.
        queues_s: how long the tests of each run waited for a stack, together.
        shown: the measures to show, those that grew most first.
        regressions: what became slower.
        flaky: the flaky tests of all branches.
    """

    series: Series
    walls_s: Sequence[float]
    own_s: Sequence[float]
    queues_s: Sequence[float]
    shown: Sequence[Measure]
    regressions: Regressions
    flaky: Sequence[FlakyTest] = ()


@dataclass(frozen=True, slots=True)
class Growth:
    """How a measure differs between the two ends of its series."""

    measure: Measure
    first: float
    last: float
    runs: int


def trend(
    store: RunStore, tests: Sequence[str] = (), *, window: int = 200, limits: Limits | None = None
) -> Trend:
    """Return the trend of the latest runs of the last run's branch.

    Args:
        store: of the runs.
        tests: parts of the names of the tests to show; without any, what grew most.
        window: how many runs.
        limits: which changes matter.

    Raises:
        UsageError: no run is recorded, or no test has such a name.
    """
    known = store.runs()
    if not known:
        raise UsageError(
            f"{store.file} has no recorded run of this project",
            hint="run pytest with --dockwright-record=on, or use `dockwright runs import`",
        )
    runs = [run for run in known if run.branch == known[0].branch][:window]
    found = regressions(store, Search(window=window, limits=limits or Limits()))
    series = read(store, runs, stacks_of={run.id for run in found.runs})
    sums = {run.id: [0.0, 0.0] for run in series.runs}
    for test in store.tests_of([run.id for run in series.runs]):
        sums[test.run][0] += test.wall_s - test.queue_s
        sums[test.run][1] += test.queue_s
    slower = [each.measure for each in found.found if each.measure in series.values]
    return Trend(
        series,
        [run.wall_s for run in series.runs],
        [own_s for own_s, _ in sums.values()],
        [queue_s for _, queue_s in sums.values()],
        _named(series, tests) if tests else _shown(series, slower),
        found,
        flaky_tests(store),
    )


def growths(series: Series, measures: Sequence[Measure] | None = None) -> list[Growth]:
    """Return how measures differ between the ends of their series, the largest growth first."""
    found = []
    for measure in series.values if measures is None else measures:
        values = [value for _, value in sorted(series.values[measure].items())]
        if len(values) > 1 or measures is not None:
            ends = min(_ENDS, max(1, len(values) // 2))
            found.append(
                Growth(measure, median(values[:ends]), median(values[-ends:]), len(values))
            )
    return sorted(found, key=lambda each: (each.measure.in_bytes, each.first - each.last))


def _shown(series: Series, slower: Sequence[Measure]) -> list[Measure]:
    grown = [each.measure for each in growths(series) if each.measure not in slower]
    return [*slower, *grown][:_MOST_SHOWN]


def _named(series: Series, tests: Sequence[str]) -> list[Measure]:
    found = []
    for part in tests:
        those = [each for each in series.values if each.kind == "test" and part in each.name]
        if not those:
            raise UsageError(
                f"no test in the recorded runs has {part!r} in its name",
                hint="`dockwright runs show --tests 0` lists the tests of the last run",
            )
        found += those
    return list(dict.fromkeys(found))[:_MOST_SHOWN]
