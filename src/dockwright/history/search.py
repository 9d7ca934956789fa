"""Finds what became slower and stayed so: change points of every test and stack, none by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from dockwright.history.choose import BRANCH_RUNS, alike, runs_named
from dockwright.history.comparison import Comparison, compare_runs
from dockwright.history.explain import likely_part
from dockwright.history.measures import Measure, Thresholds
from dockwright.history.series import Series, read
from dockwright.history.statistics import accepted, begin_of_change, chance_of_growth
from dockwright.recording import RunRecord, RunStore, StoredRun

SEARCHED_RUNS = 60
"""How many of the latest runs are looked at."""

_EXPLAINED = 20
"""For how many findings the likely part is looked up in the records."""

_AROUND = 3
"""Runs on each side of a change whose records are compared to find the likely part."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A measure that became larger and stayed so.

    Attributes:
        measure: what became larger.
        before: its median before the change.
        after: its median since then, without what the machine added.
        run: the first run with the larger value.
        runs_after: how many runs have it.
        q: the rate of false discoveries at which it is accepted.
        part: what of it changed most, in words; empty: unknown.
    """

    measure: Measure
    before: float
    after: float
    run: StoredRun
    runs_after: int
    q: float
    part: str = ""

    @property
    def ratio(self) -> float:
        """The change, as a part of the value before."""
        return self.after / self.before - 1


@dataclass(frozen=True, slots=True)
class MachineChange:
    """All tests became slower at once.

    Attributes:
        ratio: by how much, as a part of the time before.
        run: the first slower run.
        runs_after: how many runs are slower.
        p: the probability of that by chance.
    """

    ratio: float
    run: StoredRun
    runs_after: int
    p: float


@dataclass(frozen=True, slots=True)
class Regressions:
    """The result of a search.

    Attributes:
        runs: the runs that were searched, oldest first.
        tested: how many measures vary enough to be tested.
        found: the findings, the most expensive first.
        machine: the change that all tests have in common; None: there is none.
    """

    runs: Sequence[StoredRun]
    tested: int
    found: Sequence[Regression] = ()
    machine: MachineChange | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What to search.

    Attributes:
        branch: only runs of this branch; empty: the branch of the last run.
        window: how many of the latest runs.
        limits: which changes matter.
    """

    branch: str = ""
    window: int = SEARCHED_RUNS
    limits: Thresholds = field(default_factory=Thresholds)


def regressions(store: RunStore, search: Search | None = None) -> Regressions:
    """Return what became slower within the latest runs of a branch on the last run's machine."""
    search = search or Search()
    known = store.runs()
    own = [run for run in known if run.branch == (search.branch or run.branch)]
    if not own:
        return Regressions((), 0)
    last = own[0]
    window = alike([run for run in own if run.branch == last.branch], last)[: search.window]
    series = read(store, window, stacks_of={run.id for run in window})
    return regressions_in(store, series, search.limits)


def regressions_in(store: RunStore, series: Series, limits: Thresholds) -> Regressions:
    """Return what became slower in a series, with the likely parts.

    Args:
        store: has the records of the runs.
        series: of runs of one branch and machine.
        limits: which changes matter.
    """
    result = search_series(series, limits)
    return replace(result, found=list(_explained(store, result)))


def regressions_against(
    store: RunStore, base: str, limits: Thresholds | None = None
) -> Comparison | None:
    """Return what is slower in the last run's branch than in another branch.

    Returns:
        None if the last run is of that branch: then its history is to be searched.

    Raises:
        UsageError: no run of the branch is recorded.
    """
    known = store.runs()
    if not known or known[0].branch == base:
        return None
    later = known[:1]
    if known[0].revision and not known[0].dirty:
        later = [run for run in known if run.revision == known[0].revision][:BRANCH_RUNS]
    earlier = runs_named(known, base, besides={run.id for run in later})
    result = compare_runs(store, known, (earlier, later), limits)
    return replace(result, changes=[each for each in result.changes if each.slower])


def search_series(series: Series, limits: Thresholds) -> Regressions:
    """Return what became slower in a series, without its likely parts."""
    chances = {
        measure: chance
        for measure, by_run in series.values.items()
        if limits.varies(measure, list(by_run.values()))
        and (chance := _chance(series, measure)) is not None
    }
    slower = accepted(chances, chances.__getitem__, limits.rate)
    found = [_finding(series, measure, q) for measure, q in slower]
    found = [each for each in found if limits.matters(each.measure, each.before, each.after)]
    found.sort(key=lambda each: (each.measure.in_bytes, each.before - each.after))
    return Regressions(series.runs, len(chances), found, _machine(series, limits))


def _chance(series: Series, measure: Measure) -> float | None:
    return chance_of_growth([value for _, value in series.corrected(measure)])


def _finding(series: Series, measure: Measure, q: float) -> Regression:
    points = series.corrected(measure)
    at = begin_of_change([value for _, value in points])
    before, after = points[:at], points[at:]
    return Regression(
        measure,
        math.exp(median(value for _, value in before)),
        math.exp(median(value for _, value in after)),
        series.runs[after[0][0]],
        len(after),
        q,
    )


def _machine(series: Series, limits: Thresholds) -> MachineChange | None:
    chance = chance_of_growth(series.factors)
    if chance is None or chance > limits.rate:
        return None
    at = begin_of_change(series.factors)
    before, after = series.factors[:at], series.factors[at:]
    ratio = math.exp(median(after) - median(before)) - 1
    if ratio < limits.ratio:
        return None
    return MachineChange(ratio, series.runs[at], len(after), chance)


def _explained(store: RunStore, result: Regressions) -> Iterator[Regression]:
    places = {run.id: at for at, run in enumerate(result.runs)}
    records = _Records(store)
    for number, finding in enumerate(result.found):
        if number >= _EXPLAINED:
            yield finding
            continue
        at = places[finding.run.id]
        before = records.of(result.runs[max(0, at - _AROUND) : at])
        after = records.of(result.runs[at : at + _AROUND])
        yield replace(finding, part=likely_part(finding.measure, before, after))


class _Records:
    """Records that several findings need, each read once.

    Args:
        store: from which they are read.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._known: dict[str, RunRecord] = {}

    def of(self, runs: Sequence[StoredRun]) -> list[RunRecord]:
        """Return the records of runs, without samples."""
        for run in runs:
            if run.id not in self._known:
                self._known[run.id] = self._store.load(run.id, without=("samples",))
        return [self._known[run.id] for run in runs]
