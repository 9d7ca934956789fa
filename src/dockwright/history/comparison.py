"""Compares two sets of runs: what changed by more than the runs before them vary by themselves.

The noise is the project's own. For every measure the difference of the two sides is divided by the
spread of its earlier values. The same is done for runs of that history which are close to each
other; the share of them that differs as much is the probability of the change by chance (as in SAM:
Tusher, Tibshirani and Chu, 2001, who permute instead).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from dockwright.history.choose import alike, no_revision, runs_named
from dockwright.history.explain import changed_images, likely_part, parts_of_sides
from dockwright.history.measures import Measure, Thresholds
from dockwright.history.series import Series, read
from dockwright.history.statistics import adjusted, scale
from dockwright.recording import RunStore, StoredRun

_HISTORY = 30
"""Earlier runs from which the noise is learned."""

_FEWEST = 6
"""Earlier values without which a measure's noise is unknown."""

_WITH_STACKS = 10
"""Earlier runs whose stacks are read: each takes some milliseconds."""

_DRAWS, _DRAWS_PER_MEASURE = 2000, 25
"""Enough that one change among all measures can be certain: 1 / 25 per measure is below 5 %."""

_MACHINE_SPREADS = 4
"""A change of the machine is at least this many spreads of the earlier runs' factors."""

_EXPLAINED = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A measure that differs between the two sides.

    Attributes:
        measure: what differs.
        before: its median on side A.
        after: its median on side B.
        q: the rate of false discoveries at which it is accepted; None: the noise is unknown.
        part: what of it changed most, in words; empty: unknown.
        parts: of a test, the seconds of each part (a fixture, a wait, its call) on both sides.
    """

    measure: Measure
    before: float
    after: float
    q: float | None = None
    part: str = ""
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The change, as a part of the value before."""
        return self.after / self.before - 1 if self.before else math.inf

    @property
    def slower(self) -> bool:
        """Whether it became larger."""
        return self.after > self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between two sets of runs.

    Attributes:
        before: the runs of side A, newest first.
        after: the runs of side B, newest first.
        changes: what changed and matters, the most expensive first.
        noise: how many other measures differ enough to matter, but not more than the noise.
        history: from how many earlier runs the noise was learned.
        machine: by how much everything is slower, as a part of the time before; 0: it is not.
        added: tests of side B that side A does not have.
        gone: tests of side A that side B does not have.
        images: which services have another image on side B, in words.
    """

    before: Sequence[StoredRun]
    after: Sequence[StoredRun]
    changes: Sequence[Change] = ()
    noise: int = 0
    history: int = 0
    machine: float = 0.0
    added: Sequence[str] = ()
    gone: Sequence[str] = ()
    images: Sequence[str] = ()

    @property
    def slower(self) -> list[Change]:
        """The changes for the worse that are certain."""
        return [each for each in self.changes if each.slower and each.q is not None]


@dataclass(frozen=True, slots=True)
class Sides:
    """Which runs of a series are compared: their indices."""

    before: Sequence[int]
    after: Sequence[int]
    history: Sequence[int] = field(default=())


def compare(
    store: RunStore,
    before: str,
    after: str,
    limits: Thresholds | None = None,
    revision_of: Callable[[str], str] = no_revision,
) -> Comparison:
    """Compare the runs that two names stand for (see `runs_named`).

    Raises:
        UsageError: a name stands for nothing, or for several runs.
        StoreError: the store cannot be read.
    """
    known = store.runs()
    later = runs_named(known, after, revision_of=revision_of)
    earlier = runs_named(known, before, besides={run.id for run in later}, revision_of=revision_of)
    return compare_runs(store, known, (earlier, later), limits)


def compare_runs(
    store: RunStore,
    known: Sequence[StoredRun],
    sides: tuple[Sequence[StoredRun], Sequence[StoredRun]],
    limits: Thresholds | None = None,
) -> Comparison:
    """Compare two sets of runs.

    Args:
        store: has the runs.
        known: all runs, newest first: the noise is learned from those of side A's branch.
        sides: the runs before and after.
        limits: which changes matter.
    """
    earlier, later = sides
    compared = {run.id for run in (*earlier, *later)}
    others = [run for run in alike(known, earlier[0]) if run.id not in compared]
    others = [run for run in others if run.branch == earlier[0].branch]
    before = [run for run in others if run.began_s <= earlier[0].began_s]
    others = (before if len(before) >= _FEWEST else others)[:_HISTORY]
    with_stacks = compared | {run.id for run in others[:_WITH_STACKS]}
    series = read(store, (*earlier, *later, *others), stacks_of=with_stacks)
    places = {run.id: at for at, run in enumerate(series.runs)}
    indices = Sides(*([places[run.id] for run in runs] for runs in (earlier, later, others)))
    result = compare_series(series, indices, limits or Thresholds())
    changes = list(_explained(store, result))
    last, first = (
        [store.load(run.id, without=("samples", "tests"))] for run in (earlier[0], later[-1])
    )
    images = list(changed_images(last, first).values())
    return replace(result, before=earlier, after=later, changes=changes, images=images)


def compare_series(series: Series, sides: Sides, limits: Thresholds) -> Comparison:
    """Compare two sets of runs of a series; the likely parts are left out."""
    changes = [each for measure in series.values for each in _change(series, measure, sides)]
    noises = _noises(series, [each.measure for each in changes], sides, limits)
    changes = [each for each in changes if each.measure in noises or not noises]
    tested = [each for each in changes if each.measure in noises]
    chances = _chances(tested, noises, sides)
    values = dict(zip((each.measure for each in tested), adjusted(chances), strict=True))
    large = [
        replace(each, q=values.get(each.measure))
        for each in changes
        if limits.matters(each.measure, each.before, each.after)
    ]
    real = [each for each in large if each.q is None or each.q <= limits.rate]
    before, after = (_tests(series, side) for side in (sides.before, sides.after))
    return Comparison(
        [series.runs[at] for at in sides.before],
        [series.runs[at] for at in sides.after],
        sorted(real, key=_cost),
        len(large) - len(real),
        len(sides.history),
        _machine(series, sides, limits),
        sorted(after - before),
        sorted(before - after),
    )


def _change(series: Series, measure: Measure, sides: Sides) -> Iterator[Change]:
    """Return the medians of both sides, the second one without what the machine added."""
    values = dict(series.corrected(measure))
    before = [values[at] for at in sides.before if at in values]
    after = [values[at] for at in sides.after if at in values]
    if before and after:
        usual = 0.0 if measure.in_bytes else _factor(series, sides.before)
        yield Change(measure, math.exp(median(before) + usual), math.exp(median(after) + usual))


def _factor(series: Series, side: Iterable[int]) -> float:
    return median(series.factors[at] for at in side)


def _noises(
    series: Series, measures: Iterable[Measure], sides: Sides, limits: Thresholds
) -> dict[Measure, list[float]]:
    """Return the earlier values of each measure that varies enough to be tested, as logarithms."""
    compared = {*sides.before, *sides.after, *sides.history}
    earlier = set(sides.history)
    found = {}
    for measure in measures:
        raw = [value for at, value in series.values[measure].items() if at in compared]
        past = [value for at, value in series.corrected(measure) if at in earlier]
        if len(past) >= _FEWEST and limits.varies(measure, raw):
            found[measure] = past
    return found


def _chances(
    changes: Sequence[Change],
    noises: Mapping[Measure, Sequence[float]],
    sides: Sides,
) -> list[float]:
    """Return the probability of each change by chance."""
    if not changes:
        return []
    spreads = {measure: scale(past) for measure, past in noises.items()}
    least = median(spreads.values()) / 2 or 1e-9  # a few equal values do not make it exact
    sizes = len(sides.before), len(sides.after)
    pseudo = sorted(_differences(noises, sizes, least))
    found = []
    for each in changes:
        spread = max(spreads[each.measure], least)
        size = abs(math.log(each.after / each.before)) / spread
        beyond = len(pseudo) - bisect_left(pseudo, size)
        found.append((1 + beyond) / (1 + len(pseudo)))
    return found


def _differences(
    noises: Mapping[Measure, Sequence[float]], sizes: tuple[int, int], least: float
) -> Iterator[float]:
    """Yield differences, in spreads, between earlier runs that are close to each other.

    Runs close in time: a change within the history would otherwise count as noise.
    """
    ones, others = (min(size, _FEWEST // 3) for size in sizes)  # the shortest history has six
    wanted = max(_DRAWS_PER_MEASURE, _DRAWS // len(noises))
    for past in noises.values():
        for first, second in _pairs(len(past), ones, others, wanted):
            before, after = past[first : first + ones], past[second : second + others]
            rest = [*past[:first], *past[first + ones : second], *past[second + others :]]
            yield abs(median(after) - median(before)) / max(scale(rest), least)


def _pairs(count: int, ones: int, others: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield the begins of both sides of about as many differences as wanted, the closest first."""
    yielded = 0
    for gap in range(count - ones - others + 1):
        if yielded >= wanted:
            return
        for first in range(count - ones - others - gap + 1):
            yielded += 1
            yield first, first + ones + gap


def _machine(series: Series, sides: Sides, limits: Thresholds) -> float:
    """Return by how much everything is slower on side B, if that is more than usual."""
    difference = _factor(series, sides.after) - _factor(series, sides.before)
    usual = [series.factors[at] for at in sides.history]
    spread = scale(usual) if len(usual) >= _FEWEST else 0.0
    ratio = math.exp(difference) - 1
    changed = abs(ratio) >= limits.ratio and abs(difference) > _MACHINE_SPREADS * spread
    return ratio if changed else 0.0


def _cost(change: Change) -> tuple[bool, float]:
    """Times come before sizes, and what costs most first; what became faster is last."""
    return change.measure.in_bytes, change.before - change.after


def _tests(series: Series, side: Collection[int]) -> set[str]:
    return {
        measure.name
        for measure, by_run in series.values.items()
        if measure.kind == "test" and any(at in by_run for at in side)
    }


def _explained(store: RunStore, result: Comparison) -> Iterator[Change]:
    if not result.changes:
        return
    before, after = (
        [store.load(run.id, without=("samples",)) for run in reversed(side)]
        for side in (result.before, result.after)
    )
    for number, change in enumerate(result.changes):
        if number >= _EXPLAINED:
            yield change
            continue
        of_test = change.measure.kind == "test"
        yield replace(
            change,
            part=likely_part(change.measure, before, after),
            parts=parts_of_sides(change.measure.name, before, after) if of_test else {},
        )
