"""What many runs look like over time: whole runs, the tests that grew most, flaky tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from dockwright.errors import UsageError
from dockwright.history.choose import alike
from dockwright.history.flaky import FLAKY_RUNS, FlakyTest, flaky_tests
from dockwright.history.measures import Measure, Thresholds
from dockwright.history.search import Regressions, regressions_in
from dockwright.history.series import Series, read
from dockwright.recording import RunRecord, RunStore, StoredRun

TREND_RUNS = 200
"""How many of the latest runs a trend shows."""

_MOST_SHOWN = 30

_MOST_READ = 400
"""Of more runs, as many are read, evenly spaced: a screen cannot show more points."""

_WEEK_S = 7 * 86_400.0
_MOST_DIVIDED = 60
"""Runs whose time is divided into parts: each takes some milliseconds to read."""

_ENDS = 5
"""Values at each end of a series whose medians are compared to find what grew."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The latest runs of a branch.

    Attributes:
        series: what they measured; of very many runs, of some of them, evenly spaced.
        runs: how many runs there are.
        weeks: the weeks of the runs, oldest first.
        shown: the measures to show, those that grew most first.
        regressions: what became slower.
        flaky: the flaky tests of all branches.
    """

    series: Series
    runs: int
    weeks: Sequence[Week]
    shown: Sequence[Measure]
    regressions: Regressions
    flaky: Sequence[FlakyTest] = ()


@dataclass(frozen=True, slots=True)
class Week:
    """The runs of a week: medians.

    Attributes:
        began_s: when its first run began, seconds since the epoch.
        runs: how many there are.
        wall_s: how long one took.
        parts: what that time was spent on, in seconds by phase, summed over the processes that
            ran tests; ``gap`` is time outside tests. Of some runs of the week.
    """

    began_s: float
    runs: int
    wall_s: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """How a measure differs between the two ends of its series."""

    measure: Measure
    first: float
    last: float
    runs: int


def trend(
    store: RunStore,
    tests: Sequence[str] = (),
    *,
    window: int = TREND_RUNS,
    branch: str | None = None,
    limits: Thresholds | None = None,
) -> Trend:
    """Return the trend of the latest runs of a branch.

    Args:
        store: of the runs.
        tests: parts of the names of the tests to show; without any, what grew most.
        window: how many runs.
        branch: of the runs; None, or a branch without a run: the last run's.
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
    own = [run for run in known if run.branch == branch] or [
        run for run in known if run.branch == known[0].branch
    ]
    runs = own[:window]
    step = math.ceil(len(runs) / _MOST_READ)
    chosen = runs[::step]
    series = read(store, chosen, stacks_of={run.id for run in chosen})
    same_machine = {run.id for run in alike(chosen, chosen[0])}
    found = regressions_in(store, series.of_runs(same_machine), limits or Thresholds())
    slower = [each.measure for each in found.found if each.measure in series.values]
    return Trend(
        series,
        len(runs),
        _weeks(store, runs),
        _named(series, tests) if tests else _shown(series, slower),
        found,
        flaky_tests(store, min(window, FLAKY_RUNS)),
    )


def _weeks(store: RunStore, runs: Sequence[StoredRun]) -> list[Week]:
    """Return the weeks of some runs; the latest run is the first."""
    weeks: dict[int, list[StoredRun]] = {}
    for run in reversed(runs):
        weeks.setdefault(int(run.began_s // _WEEK_S), []).append(run)
    most = max(1, _MOST_DIVIDED // max(1, len(weeks)))
    shown = list(weeks.values())[-_MOST_DIVIDED:]
    return [
        Week(
            those[0].began_s,
            len(those),
            median(run.wall_s for run in those),
            _median_parts(
                [store.load(run.id, without=("samples", "stacks")) for run in those[-most:]]
            ),
        )
        for those in shown
    ]


def _median_parts(records: Sequence[RunRecord]) -> dict[str, float]:
    found = [_parts(record) for record in records]
    kinds = {kind: None for parts in found for kind in parts}
    return {kind: median(parts.get(kind, 0.0) for parts in found) for kind in kinds}


def _parts(record: RunRecord) -> dict[str, float]:
    """Return what the processes of a run spent their time on, in seconds by phase."""
    parts: dict[str, float] = {}
    for test in record.tests:
        for span in test.spans:
            parts[span.phase] = parts.get(span.phase, 0.0) + span.seconds
    gaps_s = sum(gap.seconds for worker in record.workers for gap in worker.gaps)
    return {**parts, "gap": gaps_s} if gaps_s else parts


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
