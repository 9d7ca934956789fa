"""The parts that a record is made of: stretches, causes, gaps, journals, the source."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.engine import CallStatistics
from dockwright.recording import (
    Attempt,
    BrokerReport,
    EngineCalls,
    Git,
    GitQuestion,
    OpenSpan,
    Sample,
    Span,
    SpanRecorder,
    StackRecord,
    StackTimeline,
    TestRecord,
    UnitRecord,
    WorkerRecord,
    calls_between,
    this_machine,
)
from dockwright.recording.assembly import Causes, LaneTimes, by_worker, lost, record_of, with_gaps


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spans(clock: Clock) -> SpanRecorder:
    made = SpanRecorder(clock)
    made.recording = True
    return made


def seen(spans: SpanRecorder) -> list[tuple[str, float, float, bool]]:
    return [(each[1], each[2], round(each[3], 6), each[5]) for each in spans.take()]


# -- the spans of a thread ------------------------------------------------------------------


def test_an_inner_span_interrupts_the_outer_one(spans: SpanRecorder, clock: Clock) -> None:
    with spans.span(OpenSpan("fixture", "outer")):
        clock.tick(1)
        with spans.span(OpenSpan("fixture", "inner")):
            clock.tick(2)
        clock.tick(3)
    assert seen(spans) == [
        ("outer", 100.0, 1.0, False),
        ("inner", 101.0, 2.0, False),
        ("outer", 103.0, 3.0, False),
    ]
    assert seen(spans) == []


def test_spans_inside_a_shared_span_are_shared(spans: SpanRecorder, clock: Clock) -> None:
    with (
        spans.span(OpenSpan("fixture", "wide", shared=True)),
        spans.span(OpenSpan("queue", "default")),
    ):
        clock.tick(1)
    assert seen(spans) == [("default", 100.0, 1.0, True)]


def test_an_end_without_a_begin_is_ignored(spans: SpanRecorder, clock: Clock) -> None:
    spans.end(OpenSpan("fixture", "never begun"))
    outer, inner = OpenSpan("fixture", "outer"), OpenSpan("fixture", "inner")
    spans.begin(outer)
    spans.begin(inner)
    clock.tick(1)
    spans.end(outer)  # the inner one was never ended
    clock.tick(1)
    assert seen(spans) == [("inner", 100.0, 1.0, False)]


def test_very_short_and_foreign_spans_are_skipped(spans: SpanRecorder, clock: Clock) -> None:
    with spans.span(OpenSpan("fixture", "quick")):
        clock.tick(1e-6)

    def elsewhere() -> None:
        with spans.span(OpenSpan("fixture", "elsewhere")):
            clock.tick(1)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen(spans) == []


def test_a_tape_that_does_not_record(clock: Clock) -> None:
    spans = SpanRecorder(clock)
    with spans.span(OpenSpan("fixture", "x")):
        clock.tick(1)
    assert seen(spans) == []


# -- attempts --------------------------------------------------------------------------------


def test_an_attempt_becomes_a_record_without_holes() -> None:
    attempt = Attempt(
        "t", "gw0", {"setup": (10.0, 13.0), "call": (13.0, 18.0), "teardown": (18.5, 19.0)}
    )
    attempt.raw_spans = [
        ["queue", "default", 10.5, 1.0, "", False, "p"],
        ["fixture", "wide", 11.5, 1.0, "setup", True, ""],
        ["fixture", "late", 14.0, 1.0, "setup", False, ""],
    ]
    attempt.logs = ["db: ERROR: no such table"]
    again = Attempt.from_plain(attempt.to_plain())
    assert again == attempt
    record = record_of(again, 10.0, Causes([]).split)
    assert [(span.phase, span.name, span.began_s, span.seconds) for span in record.spans] == [
        ("other", "", 0.0, 2.0),
        ("queue", "asking", 0.5, 1.0),
        ("fixture", "wide", 1.5, 1.0),
        ("call", "", 3.0, 1.0),
        ("fixture", "late", 4.0, 1.0),
        ("call", "", 5.0, 3.0),
    ]
    assert (record.began_s, record.wall_s, record.elapsed_s) == (0.0, 8.0, 9.0)


@pytest.mark.parametrize(
    ("reports", "outcome"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], "passed"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], "failed"),
        ([("setup", "failed"), ("teardown", "passed")], "error"),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], "error"),
        ([("setup", "skipped"), ("teardown", "passed")], "skipped"),
    ],
)
def test_outcomes(reports: list[tuple[str, str]], outcome: str) -> None:
    attempt = Attempt("t", "main")
    for stage, report in reports:
        attempt.note(stage, report)
    assert attempt.outcome == outcome


# -- why a test waited -----------------------------------------------------------------------


def causes(stack: StackRecord, *others: StackRecord) -> list[tuple[str, float, float, bool, bool]]:
    waited = Span("queue", "default", 10.0, 10.0)
    return [
        (span.name, span.began_s, span.seconds, span.shared, span.certain)
        for span in Causes([stack, *others]).split(waited, stack.project)
    ]


def test_waiting_is_split_by_what_the_copy_did() -> None:
    stack = StackRecord(
        "p",
        "default",
        (
            Span("start", "", 5.0, 7.0),
            Span("lease", "somebody", 12.0, 3.0),
            Span("reset", "", 15.0, 4.0),
            Span("reset", "db: in place", 15.0, 4.0),
            Span("lease", "the waiter", 19.9, 5.0),
        ),
    )
    assert causes(stack) == [
        ("starting", 10.0, 2.0, True, True),
        ("in use", 12.0, 3.0, False, True),
        ("resetting", 15.0, 4.0, False, True),
        ("asking", 19.0, 1.0, False, True),
    ]
    assert causes(stack, StackRecord("q", "default"))[0] == ("starting", 10.0, 2.0, True, False)
    assert causes(StackRecord("p", "default")) == [("asking", 10.0, 10.0, False, True)]


# -- lanes -----------------------------------------------------------------------------------


def test_gaps_fill_what_tests_leave() -> None:
    tests = [
        TestRecord("a", "gw0", 3.0, 1.0, "passed", spans=(Span("call", "", 3.0, 1.0),)),
        TestRecord("b", "gw0", 4.5, 1.0, "passed", spans=(Span("call", "", 4.5, 1.0),)),
    ]
    worker = with_gaps(WorkerRecord("gw0"), LaneTimes(1.0, 1.5, 7.0, 2.0), tests, 10.0)
    assert [(gap.name, gap.began_s, gap.seconds) for gap in worker.gaps] == [
        ("starting", 0.0, 1.0),
        ("collection", 1.0, 1.0),
        ("between", 2.0, 1.5),
        ("closing", 5.5, 1.5),
        ("ending", 7.0, 3.0),
    ]
    assert sum(gap.seconds for gap in worker.gaps) + 2.0 == 10.0
    late = with_gaps(WorkerRecord("gw0"), LaneTimes(0.0, 2.5, 7.0, 2.0), tests, 7.0)
    assert [gap.name for gap in late.gaps] == ["collection", "unrecorded", "between", "closing"]
    crashed = lost("gw0", tests, 10.0)
    assert [gap.name for gap in crashed.gaps] == ["unrecorded", "between", "ending"]
    assert by_worker(reversed(tests)) == {"gw0": tests}


# -- what processes tell ---------------------------------------------------------------------


def test_a_journal_yields_each_entry_once(clock: Clock) -> None:
    journal = StackTimeline(clock)
    journal.knows("p", "default")
    with journal.noted("p", "reset"):
        clock.tick(2)
    journal.add("p", "start", "", 90.0, 5.0)
    unit = UnitRecord("db", "c1", 1.0)
    (stack,) = journal.drain({"p": (unit,)})
    assert stack == StackRecord(
        "p", "default", (Span("start", "", 90.0, 5.0), Span("reset", "", 100.0, 2.0)), (unit,)
    )
    assert journal.drain({}) == ()


def test_a_journal_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockwright.recording.journal._MOST_SPANS", 100)
    journal = StackTimeline()
    for number in range(1000):
        journal.add("p", "lease", str(number), 0.0, 1.0)
    (stack,) = journal.drain({})
    assert 80 <= len(stack.spans) <= 100
    assert stack.spans[-1].name == "999"


def test_the_parts_of_several_processes_are_merged() -> None:
    old, new = UnitRecord("db", "c1", 1.0), UnitRecord("db", "c1", 2.0)
    first = BrokerReport(
        "docker 20",
        (StackRecord("p", "default", (Span("lease", "b", 7.0, 1.0),), (old,)),),
        (Sample(9.0, "gw0"),),
        (EngineCalls("start", 1, 1.0),),
    )
    second = BrokerReport(
        "",
        (StackRecord("p", "", (Span("lease", "a", 6.0, 1.0),), (new,)),),
        (Sample(8.0, "gw0"),),
        (EngineCalls("start", 2, 3.0), EngineCalls("kill", 1, 9.0)),
    )
    both = BrokerReport.added([BrokerReport.from_json(first.to_json()), second]).since(5.0)
    assert both.engine == "docker 20"
    assert both.stacks == (
        StackRecord(
            "p", "default", (Span("lease", "a", 1.0, 1.0), Span("lease", "b", 2.0, 1.0)), (new,)
        ),
    )
    assert [sample.at_s for sample in both.samples] == [3.0, 4.0]
    assert both.engine_calls == (EngineCalls("kill", 1, 9.0), EngineCalls("start", 3, 4.0))


def test_counts_follow_from_whole_spans_also_of_what_failed() -> None:
    spans = (
        Span("start", "", 0.0, 1.0),
        Span("wait", "db", 0.5, 0.5),
        Span("lease", "test_a", 1.0, 1.0),
        Span("reset", "", 2.0, 1.0),
        Span("reset", "db: recreate", 2.0, 0.5),
    )
    report = BrokerReport(stacks=(StackRecord("dw-1", "", spans), StackRecord("dw-2", "", spans)))
    assert report.counts() == {"started": 2, "leases": 2, "resets": 2}


def test_engine_calls_are_counted_once() -> None:
    before = {"start": CallStatistics(2, 1.0), "ping": CallStatistics(1, 0.1)}
    now = {"start": CallStatistics(5, 4.0), "ping": CallStatistics(1, 0.1)}
    assert calls_between(before, now) == (EngineCalls("start", 3, 3.0),)


# -- the source and the machine --------------------------------------------------------------


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_revision_comes_from_git(tmp_path: Path) -> None:
    assert GitQuestion(tmp_path, {}).answer() == Git()
    git(tmp_path, "init", "-b", "trunk")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    revision = git(tmp_path, "rev-parse", "HEAD")
    assert GitQuestion(tmp_path, {}).answer() == Git(revision, "trunk", dirty=False)
    (tmp_path / "other").write_text("untracked")
    assert GitQuestion(tmp_path, {}).answer().dirty is False
    (tmp_path / "file").write_text("2")
    assert GitQuestion(tmp_path, {}).answer() == Git(revision, "trunk", dirty=True)


@pytest.mark.parametrize(
    ("job", "branch"),
    [
        ({}, ""),
        ({"GITHUB_HEAD_REF": "", "GITHUB_REF_NAME": "main"}, "main"),
        ({"GITHUB_HEAD_REF": "fix-cart", "GITHUB_REF_NAME": "12/merge"}, "fix-cart"),
        ({"CI_COMMIT_REF_NAME": "main"}, "main"),
        (
            {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix-cart", "CI_COMMIT_REF_NAME": "refs/12"},
            "fix-cart",
        ),
        ({"CHANGE_BRANCH": "fix-cart", "BRANCH_NAME": "PR-12"}, "fix-cart"),
    ],
)
def test_the_branch_of_a_checked_out_commit_is_named_by_the_job(
    tmp_path: Path, job: Mapping[str, str], branch: str
) -> None:
    git(tmp_path, "init", "-b", "trunk")
    assert GitQuestion(tmp_path, job).answer() == Git("", "trunk", dirty=False)
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    assert GitQuestion(tmp_path, job).answer().branch == "trunk"
    git(tmp_path, "checkout", "--detach")
    assert GitQuestion(tmp_path, job).answer().branch == branch


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert GitQuestion(tmp_path, {}).answer() == Git()


def test_the_machine() -> None:
    machine = this_machine()
    assert machine.cores > 0
    assert machine.memory_bytes > 1 << 20
    assert machine.cpu
    assert machine.python.startswith("3.")
