"""Which marker each test should have, from what recorded runs saw it do; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, TypeAlias

from dockwright.audit.source import without_parameters
from dockwright.model import Trace
from dockwright.recording import RunRecord, StackRecord, TestRecord

Marker: TypeAlias = Literal["stateless", "stateful", "module_cleanup", ""]

_MARKED: Mapping[str, Marker] = {
    "stateless": "stateless",
    "stateful": "stateful",
    "module": "module_cleanup",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one run saw of one test.

    Attributes:
        nodeid: of the test, without parameters: they share one marker.
        run: the run's id.
        marked: the marker that it had then; a test without one counts as ``stateful``.
        audited: whether its stack was looked at after it; after the last test of a module that
            shares one, for all of them.
        passed: whether it passed.
        traces: what it left.
        waited_s: how long it waited for a stack.
        reset_s: how long the reset after it took.
    """

    nodeid: str
    run: str
    marked: Marker
    audited: bool
    passed: bool
    traces: tuple[Trace, ...] = ()
    waited_s: float = 0.0
    reset_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about one test.

    Attributes:
        nodeid: of the test, without parameters.
        marked: the marker that it has; a test without one is ``stateful``.
        right: the marker that it should have; empty: that is not known.
        reason: why `right` is not known, or why it is what it is; may be empty.
        runs: in how many audited runs it passed.
        agreed: whether all of them say the same.
        changes: what it was seen to change in its stack.
        leaks: what it left elsewhere, which no marker covers.
        saves_s: the time that the right marker would save in a run, at most.
    """

    nodeid: str
    marked: Marker
    right: Marker = ""
    reason: str = ""
    runs: int = 0
    agreed: bool = False
    changes: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    saves_s: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether it is known that the test should have another marker."""
        return bool(self.right) and self.right != self.marked


def evidence_of(record: RunRecord) -> list[Evidence]:
    """Return what a run saw of the tests that use a stack through the ``stack`` fixture."""
    stacks = {stack.project: stack for stack in record.stacks}
    return [
        Evidence(
            nodeid=without_parameters(test.nodeid),
            run=record.id,
            marked=_MARKED[test.lane],
            audited=test.audited,
            passed=test.outcome in ("passed", "xfailed"),
            traces=test.traces,
            waited_s=_waited_s(test),
            reset_s=_reset_s(test, stacks.get(test.stack)),
        )
        for test in record.tests
        if test.lane in _MARKED
    ]


def _waited_s(test: TestRecord) -> float:
    return sum(span.seconds for span in test.spans if span.phase == "queue" and not span.shared)


def _reset_s(test: TestRecord, stack: StackRecord | None) -> float:
    """Return how long the reset that followed a test's lease took."""
    spans = stack.spans if stack else ()
    ends = [each.began_s + each.seconds for each in spans if _is_lease_of(each.name, test.nodeid)]
    if not ends:
        return 0.0
    resets = [each for each in spans if each.phase == "reset" and not each.name]
    following = [each.seconds for each in resets if each.began_s >= max(ends) - _ROUNDING_S]
    return following[0] if following else 0.0


_ROUNDING_S = 1e-3


def _is_lease_of(holder: str, nodeid: str) -> bool:
    return holder == nodeid


def verdicts(
    evidence: Iterable[Evidence], marked: Callable[[str], str | None] = lambda _: None
) -> list[Verdict]:
    """Return what is known about each test, in the order in which they were first seen.

    Args:
        evidence: of any number of runs, the newest first.
        marked: returns the marker that a test has now, by its node id; None: as recorded.
    """
    by_test: defaultdict[str, list[Evidence]] = defaultdict(list)
    for each in _with_modules(evidence):
        by_test[each.nodeid].append(each)
    found = [_verdict(nodeid, seen, marked(nodeid)) for nodeid, seen in by_test.items()]
    building = set(_modules_that_build_on_themselves(by_test))
    return [
        replace(each, right="module_cleanup", reason=_BUILDS, agreed=each.runs > 0 or each.agreed)
        if _module(each.nodeid) in building
        else each
        for each in found
    ]


def _with_modules(evidence: Iterable[Evidence]) -> Iterator[Evidence]:
    """Return evidence in which all tests of a module share what was done to their one stack."""
    evidence = list(evidence)
    inside: defaultdict[tuple[str, str], list[Trace]] = defaultdict(list)
    looked: set[tuple[str, str]] = set()
    broken: set[tuple[str, str]] = set()
    for each in evidence:
        if each.marked == "module_cleanup":
            lease = (each.run, _module(each.nodeid))
            inside[lease] += [trace for trace in each.traces if trace.service]
            looked |= {lease} if each.audited else set()
            broken |= set() if each.passed else {lease}
    for each in evidence:
        lease = (each.run, _module(each.nodeid))
        if each.marked == "module_cleanup" and lease in looked:
            outside = [trace for trace in each.traces if not trace.service]
            passed = lease not in broken
            yield replace(each, audited=True, passed=passed, traces=(*inside[lease], *outside))
        else:
            yield each


_BUILDS = "tests of this module fail when run alone, and tests before them change the stack"


def _verdict(nodeid: str, seen: Sequence[Evidence], now: str | None) -> Verdict:
    marker: Marker = seen[0].marked if now is None else _known(now)
    verdict = Verdict(nodeid, marker)
    counted = [each for each in seen if each.audited and each.passed]
    if not counted:
        return replace(verdict, reason=_why_unknown(seen))
    by_run: defaultdict[str, list[Trace]] = defaultdict(list)
    for each in counted:
        by_run[each.run] += each.traces
    inside = [trace for traces in by_run.values() for trace in traces if trace.service]
    changes = [trace for trace in inside if trace.certain]
    changing = sum(any(_is_change(each) for each in traces) for traces in by_run.values())
    outside = (trace for traces in by_run.values() for trace in traces if not trace.service)
    verdict = replace(
        verdict,
        runs=len(by_run),
        agreed=changing in (0, len(by_run)),
        changes=_texts(changes or inside),
        leaks=_texts(outside),
    )
    if changes:
        return replace(verdict, right=marker if marker == "module_cleanup" else "stateful")
    if inside:
        return replace(verdict, reason="it may change its stack")
    saved_s = _saved_s(seen) if marker == "stateful" else 0.0
    return replace(verdict, right="stateless", saves_s=saved_s)


def _known(name: str) -> Marker:
    return next((each for each in _MARKED.values() if each == name), "stateful")


def _why_unknown(seen: Sequence[Evidence]) -> str:
    if not any(each.audited for each in seen):
        if all(each.marked == "module_cleanup" for each in seen):
            return "its module was not looked at in an audited run"
        return "no audited run; run pytest with --dockwright-audit=report"
    return "it did not pass in an audited run"


def _is_change(trace: Trace) -> bool:
    return bool(trace.service) and trace.certain


def _texts(traces: Iterable[Trace]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, traces)))


def _saved_s(seen: Sequence[Evidence]) -> float:
    """Return how long a test waits for a stack, and its reset takes, in ordinary runs if any."""
    usual = [each for each in seen if not each.audited] or seen
    return fmean(each.waited_s + each.reset_s for each in usual)


def _modules_that_build_on_themselves(
    by_test: Mapping[str, Sequence[Evidence]],
) -> Iterator[str]:
    """Return the modules whose tests seem to need what others of the same module leave.

    Some change the stack, and others after them never passed by themselves.
    """
    changed: set[str] = set()
    for nodeid, seen in by_test.items():
        module = _module(nodeid)
        audited = [each for each in seen if each.audited]
        changes = any(_is_change(trace) for each in audited for trace in each.traces)
        if changes and all(each.passed for each in audited):
            changed.add(module)
        never_passed = audited and not any(each.passed for each in audited)
        if (never_passed and module in changed) or _parameters_build_on_each_other(audited):
            yield module


def _parameters_build_on_each_other(audited: Sequence[Evidence]) -> bool:
    """Return whether, in each run, one parameter changed the stack and a later one failed."""
    runs: defaultdict[str, list[Evidence]] = defaultdict(list)
    for each in audited:
        runs[each.run].append(each)
    return bool(runs) and all(map(_fails_after_a_change, runs.values()))


def _fails_after_a_change(seen: Sequence[Evidence]) -> bool:
    changed = False
    for each in seen:
        if changed and not each.passed:
            return True
        changed |= each.passed and any(map(_is_change, each.traces))
    return False


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]
