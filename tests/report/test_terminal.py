"""The summary at the end of a run tells five things, in 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockwright.recording import (
    UNAWAITED,
    BrokerReport,
    RunRecord,
    Span,
    StackRecord,
    Summary,
    TestRecord,
)
from dockwright.report import summary_lines
from dockwright.report.summary import costliest_waits, kinds, process_shares
from tests._support.report.runs import run_of

RUN = run_of(40)
SUMMARY = Summary(
    {"started": 2, "leases": 40, "resets": 40, "engine_calls": 46},
)


def texts(run: RunRecord | None, summary: Summary = SUMMARY) -> list[str]:
    return [line.text for line in summary_lines(summary, 12.5, run)]


def headings(run: RunRecord) -> list[str]:
    return [line.text for line in summary_lines(SUMMARY, 12.5, run) if line.style == "heading"]


def test_the_summary_has_five_parts_and_the_wall_time() -> None:
    lines = texts(RUN)
    assert lines[:2] == [
        "2 stacks started, 40 leases, 40 resets, 46 engine calls",
        "wall time 12.50 s in 2 processes; lower bound 4.63 s",
    ]
    assert headings(RUN) == [
        "time by phase",
        "longest waits",
        "saved",
        "slowest tests",
        "leftovers: none (2 stacks removed)",
    ]


def test_no_line_is_longer_than_a_terminal_is_wide() -> None:
    long = tuple(replace(test, nodeid=f"tests/{'deep/' * 40}{test.nodeid}") for test in RUN.tests)
    waits = tuple(replace(stack, spans=(*stack.spans, _wait("w" * 90))) for stack in RUN.stacks)
    for run in (RUN, replace(RUN, tests=long, stacks=waits)):
        assert max(map(len, texts(run))) <= 80


def _wait(name: str) -> Span:
    return Span("wait", name, 0.0, 99.0)


def test_the_shares_of_the_lanes_add_up_to_one() -> None:
    lines = [line for line in texts(RUN) if "%" in line]
    assert [line.split()[0] for line in lines] == ["queue", "fixture", "call", "other", "outside"]
    percents = [int(line.split("%")[0].split()[-1]) for line in lines]
    assert sum(percents) == pytest.approx(100, abs=2)


def test_a_tests_own_wait_is_on_its_lane_and_among_the_costliest() -> None:
    test = TestRecord("t.py::t", "main", 0.0, 3.0, "passed", spans=(_wait("restart db"),))
    run = replace(RUN, tests=(test,), stacks=())
    (share,) = (each for each in process_shares(run) if each.kind == "wait")
    assert (share.seconds, share.count) == (99.0, 1)
    assert costliest_waits(run)[0].name == "a test waited for: restart db"


def test_a_stack_that_no_test_used_is_named() -> None:
    spans = (Span("start", "", 0.0, 1.0), Span("cleanup", "", 2.0, 1.0))
    report = BrokerReport(
        stacks=(
            StackRecord("dw-1", "", (*spans, Span("lease", "t", 1.0, 0.1))),
            StackRecord("dw-2", "", spans),
        )
    )
    summary = Summary({"started": 2}, reports=(report.to_json(),))
    assert texts(None, summary)[2] == "never used: 1 stack (spares, or starts that failed)"


def test_a_stack_that_stays_is_a_leftover() -> None:
    stack = StackRecord("dw-kept", "shop", (Span("start", "", 0.0, 1.0),))
    (line,) = (
        line
        for line in summary_lines(SUMMARY, 1.0, replace(RUN, stacks=(*RUN.stacks, stack)))
        if line.text.startswith("leftovers")
    )
    assert (line.text, line.style) == ("leftovers: 1 stack: dw-kept", "bad")


def test_leftovers_are_unknown_when_the_removal_was_not_awaited() -> None:
    assert not any(line.startswith("leftovers") for line in texts(replace(RUN, stacks=())))


def test_a_problem_is_shown_with_the_leftovers() -> None:
    summary = replace(SUMMARY, problems=("network dw-1 stays",))
    lines = texts(replace(RUN, problems=summary.problems), summary)
    assert "leftovers: 1 problem while removing" in lines
    assert lines[-1] == "problem: network dw-1 stays"


def test_a_run_that_is_not_recorded_shows_what_happened_to_its_stacks() -> None:
    spans = (
        Span("start", "", 5.0, 1.5),
        Span("lease", "t.py::test", 6.6, 0.3),
        Span("reset", "", 7.0, 0.2),
        Span("reset", "db: sql", 7.0, 0.1),
    )
    report = BrokerReport(stacks=(StackRecord("dw-shop-1", "shop", spans),)).to_json()
    assert texts(None, replace(SUMMARY, reports=(report,)))[1:] == [
        "wall time 12.50 s",
        "in the background, on the stacks",
        "  start       1.50 s          1 x  starting stacks until they can be used",
        "  reset       0.20 s          1 x  resetting used stacks to their baseline",
    ]


def _tests(**seconds: list[float]) -> tuple[TestRecord, ...]:
    return tuple(
        TestRecord(
            f"t.py::{lane}{number}",
            "main",
            0.0,
            wall_s,
            "passed",
            lane,  # type: ignore[arg-type]  # a lane
            spans=(Span("queue", "", 0.0, 0.002), Span("call", "", 0.002, wall_s - 0.002)),
        )
        for lane, each in seconds.items()
        for number, wall_s in enumerate(each)
    )


def test_the_two_kinds_of_tests_are_compared_by_their_medians() -> None:
    stateless, stateful = [0.01, 0.02, 0.02, 0.02, 5.0], [0.01, 0.03, 0.03, 0.03, 0.03, 9.0]
    others = [*_tests(none=[7.0] * 9), *(replace(each, outcome="failed") for each in RUN.tests)]
    run = replace(RUN, tests=(*others, *_tests(stateless=stateless, stateful=stateful)))
    lines = texts(run)
    at = lines.index("median test: stateless 0.020 s (5), stateful 0.030 s (6)")
    assert lines[at + 1] == "  without the test body: stateless 0.002 s, stateful 0.002 s"


def test_few_tests_of_a_kind_are_not_compared() -> None:
    run = replace(RUN, tests=_tests(stateless=[0.01] * 40, stateful=[0.01] * 4))
    assert kinds(run) is None
    assert not any(line.startswith("median") for line in texts(run))


def test_stacks_removed_in_the_background_are_not_leftovers() -> None:
    spans = (Span("start", "", 0.0, 1.0), Span("cleanup", UNAWAITED, 2.0, 2.0))
    stacks = (StackRecord("dw-shop", "shop", spans),)
    assert "leftovers: none (1 stack removed in the background)" in texts(
        replace(RUN, stacks=stacks)
    )
