"""A run compared with what was possible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockwright.recording import (
    Gap,
    RunRecord,
    Span,
    StackRecord,
    Summary,
    TestRecord,
    WorkerRecord,
)
from dockwright.report import summary_lines
from dockwright.report.planning import retrospect


def _test(number: int) -> TestRecord:
    """Return a test that waits half a second for its stack, and then takes one second."""
    began_s = 3.0 + number
    spans = (Span("queue", "in use", began_s, 0.5), Span("call", "", began_s + 0.5, 1.0))
    worker = f"gw{number % 2}"
    return TestRecord(f"t{number}", worker, began_s, 1.5, "passed", "stateful", "dw-1", spans)


def _worker(name: str, closing_s: float) -> WorkerRecord:
    gaps = (Gap("starting", 0.0, 1.0), Gap("between", 2.0, 0.1), Gap("closing", 9.0, closing_s))
    return WorkerRecord(name, gaps)


RUN = RunRecord(
    "run",
    0.0,
    14.0,
    0,
    workers=(_worker("gw0", 2.0), _worker("gw1", 3.0)),
    tests=tuple(map(_test, range(4))),
    stacks=(
        StackRecord("dw-1", "default", (Span("start", "", 1.0, 2.0), Span("reset", "", 4.0, 0.5))),
    ),
    predicted_s=12.5,
)


def test_the_bound_has_what_no_order_changes() -> None:
    found = retrospect(RUN)
    assert found is not None
    # around the tests 1 + 2 s; the start 2 s; 4 leases of 1 s and 3 resets of 0.5 s on one copy
    assert found.bound_s == pytest.approx(3.0 + 2.0 + 4.0 + 1.5)
    assert found.held_back_by == "1 copy of stack default"


def test_the_bound_is_never_above_the_wall_time() -> None:
    found = retrospect(replace(RUN, wall_s=7.0))
    assert found is not None
    assert found.bound_s == 7.0


def test_a_run_without_tests_has_no_plan() -> None:
    assert retrospect(replace(RUN, tests=())) is None


def test_the_summary_compares_and_lists_more_with_details() -> None:
    short = [line.text for line in summary_lines(Summary(), 14.0, RUN)]
    assert short[1] == "wall time 14.00 s in 2 processes; predicted 12.50 s, lower bound 10.50 s"
    assert short[2] == "held back by 1 copy of stack default"
    assert short[3].startswith("  if 4 tests of stack default only read: mark stateless: ")
    assert not short[4].startswith("  1 more copy")
    details = [line.text for line in summary_lines(Summary(), 14.0, RUN, details=True)]
    assert {f"    t{number}" for number in range(4)} < set(details)
    assert any(line.startswith("  1 more copy of stack default: ") for line in details)
