"""The right marker follows from what audited runs saw, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockwright.audit import Evidence, Verdict, evidence_of, verdicts
from dockwright.model import Trace
from dockwright.recording import RunRecord, Span, StackRecord, TestRecord

ROW = Trace("table", "shop.public.orders", "1 row added", "db")
OWN = Trace("file", "/var/log/access", "changed by the service itself", "web", certain=False)
LEAK = Trace("environment variable", "DEBUG", "added")
AUDITED = Evidence("test_it.py::test_a", "1", "stateful", audited=True, passed=True)


def verdict(*seen: Evidence) -> Verdict:
    """Return what follows for one test."""
    [found] = verdicts(seen)
    return found


def test_a_test_that_leaves_nothing_is_stateless() -> None:
    found = verdict(AUDITED, replace(AUDITED, run="2"))
    assert (found.right, found.wrong, found.runs, found.agreed) == ("stateless", True, 2, True)


def test_a_test_that_changes_its_stack_is_stateful() -> None:
    found = verdict(replace(AUDITED, marked="stateless", traces=(ROW,)))
    assert (found.right, found.wrong, found.agreed) == ("stateful", True, True)
    assert found.changes == ("db: table shop.public.orders (1 row added)",)


def test_one_run_with_a_change_decides_although_the_runs_disagree() -> None:
    found = verdict(AUDITED, replace(AUDITED, run="2", traces=(ROW,)))
    assert (found.right, found.agreed) == ("stateful", False)


def test_the_parameters_of_a_test_share_a_marker() -> None:
    found = verdict(AUDITED, replace(AUDITED, traces=(ROW,)))
    assert (found.right, found.agreed, found.runs) == ("stateful", True, 1)


def test_leaks_outside_of_the_stack_are_named_and_do_not_count() -> None:
    found = verdict(replace(AUDITED, traces=(LEAK,)))
    assert (found.right, found.leaks) == ("stateless", ("environment variable DEBUG (added)",))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (
            replace(AUDITED, audited=False),
            "no audited run; run pytest with --dockwright-audit=report",
        ),
        (replace(AUDITED, passed=False), "it did not pass in an audited run"),
        (
            replace(AUDITED, audited=False, marked="module_cleanup"),
            "its module was not looked at in an audited run",
        ),
        (replace(AUDITED, traces=(OWN,)), "it may change its stack"),
    ],
)
def test_an_unknown_marker_has_a_reason(seen: Evidence, reason: str) -> None:
    found = verdict(seen)
    assert (found.right, found.reason, found.wrong) == ("", reason, False)


def test_the_marker_in_the_source_counts_not_the_one_in_the_record() -> None:
    [found] = verdicts([AUDITED], lambda _: "stateless")
    assert (found.marked, found.wrong) == ("stateless", False)


def test_a_module_whose_tests_need_each_other_is_recognised() -> None:
    changes = replace(AUDITED, nodeid="test_day.py::test_order", traces=(ROW,))
    needs = replace(AUDITED, nodeid="test_day.py::test_pay", passed=False)
    other = replace(AUDITED, nodeid="test_it.py::test_b", passed=False)
    found = {each.nodeid: each.right for each in verdicts([changes, needs, other])}
    assert found == {
        "test_day.py::test_order": "module_cleanup",
        "test_day.py::test_pay": "module_cleanup",
        "test_it.py::test_b": "",
    }


def test_parameters_that_need_each_other_are_recognised() -> None:
    changes = replace(AUDITED, traces=(ROW,))
    found = verdict(changes, replace(AUDITED, passed=False))
    assert found.right == "module_cleanup"
    assert verdict(replace(AUDITED, passed=False), changes).right == "stateful"


MODULE = replace(AUDITED, marked="module_cleanup", audited=False)


@pytest.mark.parametrize(
    ("traces", "passed", "right"),
    [
        ((ROW,), True, "module_cleanup"),
        ((), True, "stateless"),
        ((OWN,), True, ""),
        ((), False, ""),
    ],
)
def test_the_tests_of_a_module_share_what_was_seen_after_the_last_of_them(
    traces: tuple[Trace, ...], passed: bool, right: str
) -> None:
    first = replace(MODULE, nodeid="test_day.py::test_order", passed=passed, traces=(LEAK,))
    last = replace(MODULE, nodeid="test_day.py::test_pay", audited=True, traces=traces)
    found = verdicts([first, last])
    assert [each.right for each in found] == [right, right]
    assert found[0].leaks == ((str(LEAK),) if passed else ())
    assert found[1].leaks == ()


def test_the_saving_is_the_wait_for_a_stack_and_the_reset_after_it() -> None:
    test = TestRecord(
        "test_it.py::test_a[1]",
        "main",
        0.0,
        1.0,
        "passed",
        "stateful",
        "dw-shop-1",
        (Span("queue", "resetting", 0.0, 0.25),),
        audited=True,
    )
    spans = (
        Span("reset", "", 0.1, 9.0),
        Span("lease", "test_it.py::test_a[1]", 0.25, 0.5),
        Span("reset", "db: in place", 0.75, 0.5),
        Span("reset", "", 0.75, 0.5),
    )
    record = RunRecord(
        "1", 0.0, 2.0, 0, tests=(test,), stacks=(StackRecord("dw-shop-1", "shop", spans),)
    )
    [seen] = evidence_of(record)
    assert (seen.nodeid, seen.waited_s, seen.reset_s) == ("test_it.py::test_a", 0.25, 0.5)
    assert verdict(seen).saves_s == pytest.approx(0.75)
