"""Finds tests that pass and fail at one revision, and what is different when they fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Literal, TypeAlias

from dockwright._text import counted
from dockwright.recording import RunRecord, RunStore, StoredRun, TestRecord

Cause: TypeAlias = Literal["order", "stack", "worker", "load", "random"]
"""What is different when a test fails; ``random``: nothing that is recorded."""

FLAKY_RUNS = 50
"""How many of the latest runs are read."""

_RARE = 0.01
"""A difference is a cause if chance produces one as clear in less than 1 % of such tests."""

_LOADED = 1.25
"""A run is loaded if its tests take this many times as long as they usually do."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a test, with what was around it.

    Attributes:
        run: the run.
        test: the attempt.
        earlier: the tests before it on the same worker, in order.
        before_on_stack: the test before it on the same copy of a stack; empty: the first, or none.
        load: how much longer than usual the run's tests took; 1: as usual.
    """

    run: StoredRun
    test: TestRecord
    earlier: Sequence[str]
    before_on_stack: str
    load: float

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.test.outcome in ("failed", "error", "rerun")


@dataclass(frozen=True, slots=True)
class FlakyTest:
    """A test that both passed and failed at one revision.

    Attributes:
        nodeid: pytest's name for it.
        failed: how many of its attempts at such revisions failed.
        attempts: how many there were.
        last: the id of the last run in which it failed.
        message: the first line of that failure; empty: unknown.
        cause: what is different when it fails.
        detail: that difference, in words.
        log: what its services logged in most failures, in words; empty: nothing, or unknown.
    """

    nodeid: str
    failed: int
    attempts: int
    last: str
    message: str
    cause: Cause
    detail: str
    log: str = ""

    @property
    def rate(self) -> float:
        """The part of the attempts that failed."""
        return self.failed / self.attempts


def flaky_tests(store: RunStore, most_runs: int = FLAKY_RUNS) -> list[FlakyTest]:
    """Return the tests that passed and failed at one revision in the latest runs, worst first.

    Runs with uncommitted changes do not count, and neither do runs without a revision.
    """
    clean = [run for run in store.runs() if run.revision and not run.dirty][:most_runs]
    tests = store.tests_of([run.id for run in clean])
    revisions = {run.id: run.revision for run in clean}
    outcomes: dict[str, dict[str, set[str]]] = {}
    for test in tests:
        kind = "passed" if test.outcome == "passed" else "failed"
        if test.outcome in ("passed", "failed", "error", "rerun"):
            outcomes.setdefault(test.nodeid, {}).setdefault(revisions[test.run], set()).add(kind)
    flips = {
        nodeid: {revision for revision, kinds in by_revision.items() if len(kinds) > 1}
        for nodeid, by_revision in outcomes.items()
    }
    flips = {nodeid: found for nodeid, found in flips.items() if found}
    if not flips:
        return []
    tries = _tries(store, clean, flips)
    found = [_flaky(nodeid, tries[nodeid]) for nodeid in flips]
    return sorted(found, key=lambda each: (-each.rate, each.nodeid))


def _tries(
    store: RunStore, runs: Sequence[StoredRun], flips: Mapping[str, set[str]]
) -> dict[str, list[Try]]:
    """Return the attempts at the revisions where a test flips, the latest run first."""
    wanted = set().union(*flips.values())
    records = {
        run.id: store.load(run.id, without=("samples", "stacks"))
        for run in runs
        if run.revision in wanted
    }
    loads = _loads(records.values())
    found: dict[str, list[Try]] = {nodeid: [] for nodeid in flips}
    for run in runs:
        if run.id in records:
            for each in _around(run, records[run.id], loads.get(run.id, 1.0), flips):
                if run.revision in flips.get(each.test.nodeid, ()):
                    found[each.test.nodeid].append(each)
    return found


def _loads(records: Iterable[RunRecord]) -> dict[str, float]:
    """Return how much longer than usual the passed tests of each run took: the median."""
    times: dict[str, dict[str, float]] = {}
    for record in records:
        for test in record.tests:
            if test.outcome == "passed" and test.wall_s > 0:
                times.setdefault(test.nodeid, {})[record.id] = test.wall_s
    ratios: dict[str, list[float]] = {}
    for by_run in times.values():
        usual = median(by_run.values())
        for run, seconds in by_run.items():
            ratios.setdefault(run, []).append(seconds / usual)
    return {run: median(found) for run, found in ratios.items()}


def _around(
    run: StoredRun, record: RunRecord, load: float, wanted: Collection[str]
) -> Iterator[Try]:
    workers: dict[str, list[str]] = {}
    stacks: dict[str, str] = {}
    for test in sorted(record.tests, key=lambda each: each.began_s):
        on_stack = stacks.get(test.stack, "") if test.stack else ""
        earlier = workers.setdefault(test.worker, [])
        yield Try(run, test, tuple(earlier) if test.nodeid in wanted else (), on_stack, load)
        earlier.append(test.nodeid)
        stacks[test.stack] = test.nodeid


def _flaky(nodeid: str, tries: Sequence[Try]) -> FlakyTest:
    failures = [each for each in tries if each.failed]
    cause, detail = _cause(tries)
    last = failures[0]
    message = next((each.test.message for each in failures if each.test.message), "")
    log = _common_line([each.test.logs for each in failures])
    return FlakyTest(nodeid, len(failures), len(tries), last.run.id, message, cause, detail, log)


_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)
"""What differs between two lines about the same thing: times, process ids, addresses."""


def _common_line(logs: Sequence[Sequence[str]]) -> str:
    """Return the line about an error that most failures have in their services' logs.

    Args:
        logs: such lines of each failure, the latest failure first.
    """
    latest: dict[str, str] = {}
    for line in (line for lines in logs for line in reversed(lines)):
        latest.setdefault(_kind(line), line)
    counts = {kind: sum(kind in map(_kind, lines) for lines in logs) for kind in latest}
    if not counts:
        return ""
    kind = max(counts, key=counts.__getitem__)  # of equal ones the last line of the last failure
    service, _, text = latest[kind].partition(": ")
    return f"{service} logged in {counts[kind]} of {counted(len(logs), 'failure')}: {text}"


def _kind(line: str) -> str:
    return _VARYING.sub("#", line)


_Values: TypeAlias = Callable[[Try], Sequence[str]]

_DIFFERENCES: Sequence[tuple[Cause, _Values, str]] = (
    ("load", lambda each: ["loaded"] if each.load >= _LOADED else [], "the machine is busy"),
    ("order", lambda each: each.earlier[-1:], "it runs right after {}"),
    ("order", lambda each: each.earlier, "it runs after {}"),
    ("stack", lambda each: [each.before_on_stack], "{} used its stack before"),
    ("worker", lambda each: [each.test.worker], "it runs on worker {}"),
    ("stack", lambda each: [each.test.stack.rpartition("-")[2]], "it runs on copy {} of its stack"),
)
"""What may explain failures, the likeliest explanation first if two are as good."""


def _cause(tries: Sequence[Try]) -> tuple[Cause, str]:
    """Return what failures have in common and passes do not, unless chance explains it as well."""
    best: tuple[float, Cause, str] = (1.0, "random", "")
    for cause, values, words in _DIFFERENCES:
        by_try = [set(values(each)) for each in tries]
        candidates = set().union(*by_try) - {""}
        for candidate in sorted(candidates):
            there = [each for each, found in zip(tries, by_try, strict=True) if candidate in found]
            chance = _chance(tries, there) * len(candidates)
            if chance < best[0]:
                best = (chance, cause, words.format(candidate))
    chance, cause, detail = best
    if chance >= _RARE / len(_DIFFERENCES):
        return "random", "nothing that is recorded differs between its passes and its failures"
    return cause, f"it fails when {detail}"


def _chance(tries: Sequence[Try], there: Sequence[Try]) -> float:
    """Return the probability that as many failures are among some of the tries (Fisher, exact)."""
    failures = sum(each.failed for each in tries)
    both = sum(each.failed for each in there)
    whole = comb(len(tries), len(there))
    return (
        sum(
            comb(failures, hits) * comb(len(tries) - failures, len(there) - hits)
            for hits in range(both, min(failures, len(there)) + 1)
        )
        / whole
    )
