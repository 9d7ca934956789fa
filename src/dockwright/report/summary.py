"""What every report shows of a run: where its time went, what it saved, what it left behind.

Every number is a sum of the record's spans and is defined here once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from dockwright._text import counted
from dockwright.recording import UNAWAITED, RunRecord, Span, StackRecord, TestRecord

IN_PROCESSES: Mapping[str, str] = {
    "queue": "waiting for a stack",
    "wait": "waiting for services, in tests",
    "fixture": "fixtures",
    "call": "test bodies",
    "other": "pytest and other plugins, in tests",
    "gap": "outside tests",
}
"""What the processes that run tests spend their time on, in the order of a test's life.

Together they are the wall time multiplied by the number of processes.
"""

IN_BACKGROUND: Mapping[str, str] = {
    "start": "starting stacks until they can be used",
    "wait": "waiting for services, part of start",
    "reset": "resetting used stacks to their baseline",
    "cleanup": "removing stacks",
}
"""What happens to stacks, mostly while tests run; ``wait`` is part of ``start``."""

WAITING: Mapping[str, str] = {
    "starting": "for a stack to start",
    "resetting": "for a reset",
    "in use": "for a stack that other tests used",
    "asking": "for the pool's answer",
}
"""What tests wait for if they wait for a stack: the names of their ``queue`` spans."""

GAPS: Mapping[str, str] = {
    "starting": "starting pytest",
    "collection": "collecting tests",
    "unrecorded": "before the first stack",
    "between": "between tests",
    "closing": "removing stacks",
    "ending": "waiting for other processes",
}
"""What a process does while it runs no test."""

FAILURES = ("failed", "error")

OF_PYTEST_DOCKER = "docker_services of "
"""How the names of leases begin that pytest-docker's fixtures hold."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a run's time.

    Attributes:
        kind: a phase, or ``gap``.
        name: which of that kind; empty: all of them.
        seconds: the sum.
        count: the number of spans, tests or processes in the sum.
    """

    kind: str
    name: str
    seconds: float
    count: int


def process_shares(run: RunRecord) -> list[Share]:
    """Return where the time of the processes went; the sum is wall time multiplied by processes.

    Counts are the numbers of tests that spent such time, and for ``gap`` of processes.
    """
    parts = [(phase, s) for test in run.tests for phase, s in phases_of(test).items()]
    parts += [("gap", sum(gap.seconds for gap in worker.gaps)) for worker in run.workers]
    return _shares(((kind, "", seconds) for kind, seconds in parts), IN_PROCESSES)


def phases_of(test: TestRecord, *, shared: bool = True) -> dict[str, float]:
    """Return the seconds of each phase of a test, with or without shared time."""
    found: dict[str, float] = {}
    for span in test.spans:
        if shared or not span.shared:
            found[span.phase] = found.get(span.phase, 0.0) + span.seconds
    return found


def background_shares(stacks: Iterable[StackRecord]) -> list[Share]:
    """Return what happened on stacks; these times overlap with each other and with the tests."""
    return _shares(
        (
            (span.phase, "", span.seconds)
            for span in whole_spans(stacks)
            if span.phase in IN_BACKGROUND
        ),
        IN_BACKGROUND,
    )


def whole_spans(stacks: Iterable[StackRecord]) -> Iterator[Span]:
    """Return the spans of stacks without the parts of resets and removals."""
    for stack in stacks:
        for span in stack.spans:
            if span.phase not in ("start", "reset", "cleanup") or not span.name:
                yield span


def queue_shares(run: RunRecord) -> list[Share]:
    """Return what tests waited for, by cause, longest first."""
    return _named("queue", run.tests, unnamed="asking")


def unit_waits(run: RunRecord) -> list[Share]:
    """Return how long stacks waited for each service, longest first."""
    return _named("wait", run.stacks)


def test_waits(run: RunRecord) -> list[Share]:
    """Return what tests themselves waited for (a restart, a stop), by cause, longest first."""
    return _named("wait", run.tests)


def costliest_waits(run: RunRecord) -> list[Share]:
    """Return all waits with their causes in words, longest first."""
    found = [
        *(replace(each, name=f"tests waited {_why(each.name)}") for each in queue_shares(run)),
        *(replace(each, name=f"a test waited for: {each.name}") for each in test_waits(run)),
        *(
            replace(each, name=f"starting stacks waited for {each.name}")
            for each in unit_waits(run)
        ),
    ]
    return sorted(found, key=_longest)


def _why(cause: str) -> str:
    return WAITING.get(cause, f"for {cause}")


def gap_shares(run: RunRecord) -> list[Share]:
    """Return what processes did outside tests, longest first."""
    gaps = (("gap", gap.name, gap.seconds) for worker in run.workers for gap in worker.gaps)
    return sorted(_shares(gaps, {"gap": ""}), key=_longest)


def reset_parts(run: RunRecord) -> list[Share]:
    """Return the time of resets by service and strategy, longest first."""
    return [share for share in _named("reset", run.stacks) if share.name]


def waited_s(test: TestRecord) -> float:
    """Return how long a test waited for a stack, in seconds."""
    return sum(span.seconds for span in test.spans if span.phase == "queue")


def outcome_counts(run: RunRecord) -> dict[str, int]:
    """Return the number of tests by outcome, failures first."""
    counts: dict[str, int] = {}
    for test in run.tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    order = (*FAILURES, "passed", "skipped", "xfailed", "xpassed", "rerun")
    return {outcome: counts[outcome] for outcome in order if outcome in counts}


def slowest(tests: Iterable[TestRecord], most: int) -> list[TestRecord]:
    """Return the tests that took longest, without shared time."""
    return sorted(tests, key=lambda test: -test.wall_s)[:most]


def most_waiting(tests: Iterable[TestRecord], most: int) -> list[TestRecord]:
    """Return the tests that waited longest for a stack."""
    found = [test for test in tests if waited_s(test) > 0]
    return sorted(found, key=lambda test: -waited_s(test))[:most]


def _named(
    phase: str, records: Iterable[TestRecord | StackRecord], *, unnamed: str = ""
) -> list[Share]:
    """Return the time of the spans of one phase by name, longest first."""
    parts = (
        (phase, span.name or unnamed, span.seconds)
        for record in records
        for span in record.spans
        if span.phase == phase
    )
    return sorted(_shares(parts, [phase]), key=_longest)


def _shares(parts: Iterable[tuple[str, str, float]], order: Iterable[str]) -> list[Share]:
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for kind, name, seconds in parts:
        known_s, count = found.get((kind, name), (0.0, 0))
        found[kind, name] = (known_s + seconds, count + 1)
    kinds: Sequence[str] = list(order)
    return [
        Share(kind, name, seconds, count)
        for each in kinds
        for (kind, name), (seconds, count) in found.items()
        if kind == each
    ]


def _longest(share: Share) -> float:
    return -share.seconds


_FEWEST = 5  # the median of less says nothing
_BODY = ("call", "wait")


@dataclass(frozen=True, slots=True)
class Kind:
    """The passed tests of one kind (stateless or stateful).

    Attributes:
        count: how many there were.
        whole_s: the median of their times, with fixtures and waits, without shared time.
        around_s: the median of the same times without the test bodies.
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
        """The whole times; comparable if the two kinds of tests do similar things."""
        reads, writes = self.stateless, self.stateful
        return (
            f"median test: stateless {reads.whole_s:.3f} s ({reads.count}), "
            f"stateful {writes.whole_s:.3f} s ({writes.count})"
        )

    @property
    def around(self) -> str:
        """The times without the bodies: fixtures, waiting for a stack, pytest itself."""
        reads, writes = self.stateless, self.stateful
        return (
            f"without the test body: stateless {reads.around_s:.3f} s, "
            f"stateful {writes.around_s:.3f} s"
        )


def kinds(run: RunRecord) -> Kinds | None:
    """Return the comparison; None if there are too few tests of a kind."""
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


_WORTH_TELLING_S = 0.05


@dataclass(frozen=True, slots=True)
class Saving:
    """Time that the run saved.

    Attributes:
        seconds: how much.
        what: compared with what.
        how: the calculation, from times measured in the same run.
    """

    seconds: float
    what: str
    how: str

    def __str__(self) -> str:
        return f"saved {self.seconds:.1f} s {self.what}: {self.how}"


def savings(run: RunRecord) -> list[Saving]:
    """Return the savings worth showing, largest first."""
    found = [*_sharing(run), *_background_resets(run)]
    worth = [saving for saving in found if saving.seconds >= _WORTH_TELLING_S]
    return sorted(worth, key=lambda saving: -saving.seconds)


def _sharing(run: RunRecord) -> Iterator[Saving]:
    """Compare with what a suite for pytest-docker declares: a new stack for each of its scopes."""
    boots = [boot.seconds for stack in run.stacks for boot in starts(stack)]
    leases = sum(
        span.phase == "lease" and span.name.startswith(OF_PYTEST_DOCKER)
        for stack in run.stacks
        for span in stack.spans
    )
    resets = [span.seconds for span in _used_resets(run)]
    if not boots or leases <= len(boots):
        return
    boot_s, reset_s = median(boots), sum(resets)
    how = f"{leases} leases used {counted(len(boots), 'stack')} (median start {boot_s:.2f} s)"
    if resets:
        how += f", minus {reset_s:.2f} s for {counted(len(resets), 'reset')}"
    yield Saving(
        (leases - len(boots)) * boot_s - reset_s,
        "compared with a new stack for each scope of docker_services",
        how,
    )


def _background_resets(run: RunRecord) -> Iterator[Saving]:
    """Compare with resets for which the next test would wait."""
    resets = [span.seconds for span in _used_resets(run)]
    waited_s = sum(
        span.seconds
        for test in run.tests
        for span in test.spans
        if span.phase == "queue" and span.name == "resetting"
    )
    yield Saving(
        sum(resets) - waited_s,
        "by resetting stacks in the background",
        f"{counted(len(resets), 'reset')} before another lease took {sum(resets):.2f} s, and tests "
        f"waited {waited_s:.2f} s for them",
    )


def _used_resets(run: RunRecord) -> Iterator[Span]:
    """Return the whole resets after which the same copy was leased again: a test needed them."""
    for stack in run.stacks:
        last = max((span.began_s for span in stack.spans if span.phase == "lease"), default=0.0)
        for span in stack.spans:
            if span.phase == "reset" and not span.name and span.began_s < last:
                yield span


def never_used(stacks: Iterable[StackRecord]) -> int:
    """Return how many stacks were started in this run, but no test leased them."""
    return sum(
        bool(starts(stack)) and not any(span.phase == "lease" for span in stack.spans)
        for stack in stacks
    )


def starts(stack: StackRecord) -> list[Span]:
    """Return the spans until the stack could be used, one for each start."""
    return [span for span in stack.spans if span.phase == "start" and not span.name]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a run left behind.

    Attributes:
        text: in words.
        none: whether it left nothing.
    """

    text: str
    none: bool


def leftovers(run: RunRecord) -> Leftovers | None:
    """Return what the run left behind; None if it did not wait for the end of the pool."""
    if not run.stacks:
        return None
    stay = _staying(run)
    if stay:
        return Leftovers(f"{counted(len(stay), 'stack')}: {', '.join(stay)}", none=False)
    if run.problems:
        return Leftovers(f"{counted(len(run.problems), 'problem')} while removing", none=False)
    removed = sum(any(span.phase == "cleanup" for span in stack.spans) for stack in run.stacks)
    if any(span.name == UNAWAITED for stack in run.stacks for span in stack.spans):
        return Leftovers(f"none ({counted(removed, 'stack')} removed in the background)", none=True)
    return Leftovers(f"none ({counted(removed, 'stack')} removed)", none=True)


def _staying(run: RunRecord) -> list[str]:
    """Return the projects of the copies that were not removed."""
    return [
        stack.project
        for stack in run.stacks
        if stack.spans and not any(span.phase == "cleanup" for span in stack.spans)
    ]
