"""Comparisons and regressions as rows and sentences, and as Markdown for a pull request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from dockwright._text import counted, listed
from dockwright.history import (
    FEWEST_AFTER,
    FEWEST_BEFORE,
    Change,
    Comparison,
    FlakyTest,
    Growth,
    Regression,
    Regressions,
    main_branch,
    regressions,
    regressions_against,
)
from dockwright.recording import RunStore, StoredRun
from dockwright.report.markdown import cell, cut, table

COMMENT_BYTES = 65_536
"""Of a comment on a pull request; GitHub refuses a longer one."""

CHANGE_COLUMNS = ("what", "before", "after", "change", "confidence", "likely part")
REGRESSION_COLUMNS = ("what", "before", "after", "change", "since", "runs", "confidence", "part")

_REVISION = 10
_NAMES = 5


def change_rows(changes: Iterable[Change]) -> list[Sequence[str]]:
    """Return a row of `CHANGE_COLUMNS` for each change."""
    return [
        (
            str(each.measure),
            each.measure.shown(each.before),
            each.measure.shown(each.after),
            percent(each.ratio),
            confidence(each.q),
            each.part,
        )
        for each in changes
    ]


def regression_rows(found: Iterable[Regression]) -> list[Sequence[str]]:
    """Return a row of `REGRESSION_COLUMNS` for each finding."""
    return [
        (
            str(each.measure),
            each.measure.shown(each.before),
            each.measure.shown(each.after),
            percent(each.ratio),
            named(each.run),
            str(each.runs_after),
            confidence(each.q),
            each.part,
        )
        for each in found
    ]


def growth_row(growth: Growth) -> Sequence[str]:
    """Return what grew, in how many runs, its first and last value, and the change."""
    ratio = growth.last / growth.first - 1 if growth.first else math.inf
    ends = (growth.measure.shown(growth.first), growth.measure.shown(growth.last))
    return str(growth.measure), str(growth.runs), *ends, percent(ratio)


def why(test: FlakyTest) -> str:
    """Return what is different when a flaky test fails, in words."""
    return f"{test.cause}: {test.detail}" + (f"; {test.log}" if test.log else "")


def comparison_remarks(result: Comparison) -> list[str]:
    """Return what else a comparison found, in sentences."""
    found: list[str] = []
    before, after = ({run.machine for run in side} for side in (result.before, result.after))
    if before.isdisjoint(after):
        earlier, later = (
            listed(sorted(each or "an unknown one" for each in side)) for side in (before, after)
        )
        found.append(f"different machines: {earlier} before, {later} after")
    found += result.images
    if result.machine:
        found.append(
            f"the machine: everything takes {percent(result.machine)}, which is not counted below"
        )
    if result.noise:
        found.append(f"{counted(result.noise, 'other difference')} within the noise")
    if any(each.q is None for each in result.changes):
        found.append(
            f"confidence unknown: {counted(result.history, 'earlier run')} of the same branch and "
            "machine recorded, and at least 6 are needed"
        )
    for word, names in (("new", result.added), ("gone", result.gone)):
        if names:
            more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
            found.append(f"{word}: {listed([*names[:_NAMES], *more])}")
    return found


def regression_remarks(result: Regressions) -> list[str]:
    """Return what else a search found, in sentences."""
    machine = result.machine
    if machine is None:
        return []
    return [
        f"the machine: everything takes {percent(machine.ratio)} since {named(machine.run)} "
        f"({counted(machine.runs_after, 'run')}, confidence {confidence(machine.p)}); "
        "this is not counted in the rows"
    ]


def searched(result: Regressions) -> str:
    """Return what was searched for regressions, in one line."""
    runs = counted(len(result.runs), "run")
    if not result.runs:
        return "no run of this project is recorded"
    branch = result.runs[-1].branch
    if len(result.runs) < FEWEST_BEFORE + FEWEST_AFTER:
        return (
            f"{runs}{f' of {branch}' if branch else ''} on this machine: at least "
            f"{FEWEST_BEFORE + FEWEST_AFTER} are needed, {FEWEST_AFTER} of them after a change"
        )
    measures = counted(result.tested, "measure")
    return f"searched {runs}{f' of {branch}' if branch else ''}, {measures}"


def regressed(store: RunStore) -> list[str]:
    """Return what became slower, in sentences, as seen from the last run.

    A run of another branch is compared with the main branch; a run of the main branch, or of a
    project without one, with its own history.
    """
    known = store.runs()
    main = main_branch(known)
    against = regressions_against(store, main) if main else None
    found = regressions(store).found if against is None else against.slower
    return [
        f"regression: {each.measure} went from {each.measure.shown(each.before)} to "
        f"{each.measure.shown(each.after)} ({percent(each.ratio)})"
        + (f": {each.part}" if each.part else "")
        for each in found
    ]


def sides(result: Comparison) -> str:
    """Return which runs are compared, in one line."""
    before, after = _side(result.before), _side(result.after)
    return f"{before} compared with {after}; noise of {counted(result.history, 'earlier run')}"


def _side(runs: Sequence[StoredRun]) -> str:
    branches = {run.branch for run in runs}
    if len(runs) == 1:
        return named(runs[0])
    return f"{len(runs)} runs of {branches.pop() if len(branches) == 1 else runs[0].revision}"


def named(run: StoredRun) -> str:
    """Return a run with its source."""
    return f"{run.id} ({run.revision[:_REVISION]})" if run.revision else run.id


def percent(ratio: float) -> str:
    """Return a change such as ``+20 %``."""
    return "new" if math.isinf(ratio) else f"{ratio * 100:+.0f} %"


def confidence(q: float | None) -> str:
    """Return the confidence in a finding: one minus its rate of false discoveries."""
    if q is None:
        return "unknown"
    return "> 99.9 %" if q < 0.001 else f"{math.floor((1 - q) * 1000) / 10:.1f} %"


def comparison_markdown(result: Comparison, limit_bytes: int = COMMENT_BYTES) -> str:
    """Return a comparison for a comment; cut, with a note, where it is longer than allowed."""
    return cut("\n".join(_comparison(result)) + "\n", limit_bytes)


def _comparison(result: Comparison) -> Iterator[str]:
    slower, faster = result.slower, len(result.changes) - len(result.slower)
    title = f"{len(slower)} slower, {faster} other changes" if result.changes else "no change"
    yield f"### dockwright: {title}\n"
    yield cell(sides(result))
    yield from (f"\n{cell(text)}" for text in comparison_remarks(result))
    yield from _table("Changes", CHANGE_COLUMNS, change_rows(result.changes))


def regressions_markdown(result: Regressions, limit_bytes: int = COMMENT_BYTES) -> str:
    """Return regressions for a comment; cut, with a note, where it is longer than allowed."""
    return cut("\n".join(_regressions(result)) + "\n", limit_bytes)


def _regressions(result: Regressions) -> Iterator[str]:
    title = counted(len(result.found), "regression") if result.found else "no regression"
    yield f"### dockwright: {title} in {counted(len(result.runs), 'run')}"
    yield from (f"\n{cell(text)}" for text in regression_remarks(result))
    yield from _table("Regressions", REGRESSION_COLUMNS, regression_rows(result.found))


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    return table(title, head, [[cell(text) for text in row] for row in rows])
