"""What recorded runs say about the costs of tests and stacks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dockwright.recording import (
    Gap,
    Machine,
    RunRecord,
    RunStore,
    SharedCost,
    Span,
    StackRecord,
    TestRecord,
    UnitRecord,
    WorkerRecord,
    recorded_costs,
)
from dockwright.schedule import Costs, StackCost

_HERE, _ELSEWHERE = Machine("a cpu", 8), Machine("another cpu", 2)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs.sqlite3")


def _test(nodeid: str, wall_s: float, queue_s: float = 0.0, outcome: str = "passed") -> TestRecord:
    spans = (Span("queue", "in use", 0.0, queue_s), Span("call", "", queue_s, wall_s - queue_s))
    return TestRecord(nodeid, "main", 0.0, wall_s, outcome, spans=spans)  # type: ignore[arg-type] # any outcome


def _add(
    store: RunStore, name: str, *tests: TestRecord, machine: Machine = _HERE, ago_s: float = 0.0
) -> None:
    stack = StackRecord(
        "dw-1",
        "default",
        (
            Span("start", "", 0.0, 4.0),
            Span("wait", "db", 0.0, 3.0),
            Span("reset", "", 5.0, 0.5),
            Span("reset", "db: postgres", 5.0, 0.4),
        ),
        (
            UnitRecord("db", "1", peak_memory_bytes=100),
            UnitRecord("db", "2", peak_memory_bytes=300),
            UnitRecord("web", "3", peak_memory_bytes=50),
            UnitRecord("job", "4"),
        ),
    )
    gaps = (
        Gap("starting", 0.0, 1.0),
        Gap("between", 1.0, 0.2 * len(tests)),
        Gap("closing", 8.0, 2.0),
    )
    store.add(
        RunRecord(
            name,
            time.time() - ago_s,
            10.0,
            0,
            machine=machine,
            tests=tests,
            workers=(WorkerRecord("main", gaps),),
            stacks=(stack,),
            shared=(SharedCost("fixture", "server", "main", 0.7, 3),),
        )
    )


def test_a_test_costs_the_median_of_its_last_runs_without_waiting(store: RunStore) -> None:
    for number, wall_s in enumerate((100.0, 1.0, 2.0, 3.0, 9.0, 2.5)):
        _add(store, f"run{number}", _test("a", wall_s + 5.0, queue_s=5.0), ago_s=60.0 - number)
    costs = recorded_costs(store, _HERE)
    assert costs.tests == {"a": pytest.approx(2.5 + 0.2)}
    assert costs.runs == 5


def test_attempts_that_failed_count_only_if_none_passed(store: RunStore) -> None:
    _add(store, "first", _test("a", 1.0), _test("b", 3.0, outcome="failed"), ago_s=60.0)
    _add(store, "last", _test("a", 50.0, outcome="failed"), _test("b", 3.0, outcome="failed"))
    costs = recorded_costs(store, _HERE)
    assert costs.tests == {"a": pytest.approx(1.2), "b": pytest.approx(3.2)}


def test_runs_on_the_same_kind_of_machine_come_first(store: RunStore) -> None:
    _add(store, "here", _test("a", 1.0), ago_s=60.0)
    _add(store, "elsewhere", _test("a", 9.0), machine=_ELSEWHERE)
    assert recorded_costs(store, _HERE).tests["a"] == pytest.approx(1.2)
    assert recorded_costs(store, _ELSEWHERE).tests["a"] == pytest.approx(9.2)
    assert recorded_costs(store, Machine("a third", 4)).runs == 2


def test_stacks_and_what_is_around_the_tests_have_costs(store: RunStore) -> None:
    _add(store, "run", _test("a", 1.0))
    costs = recorded_costs(store, _HERE)
    assert costs.stacks == {"default": StackCost(4.0, 0.5, 350, 1)}
    assert (costs.starting_s, costs.closing_s, costs.fixtures_s) == (1.0, 2.0, 0.7)


def test_without_runs_nothing_is_known(store: RunStore) -> None:
    assert recorded_costs(store, _HERE) == Costs()
