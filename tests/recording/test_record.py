"""A run's record comes back from JSON as it was, also from another version's JSON."""

from __future__ import annotations

import json

import pytest

from dockwright.recording import (
    EngineCalls,
    Gap,
    Git,
    Machine,
    RunRecord,
    Sample,
    SharedCost,
    Span,
    StackRecord,
    TestRecord,
    UnitRecord,
    WorkerRecord,
)

WHOLE = RunRecord(
    id="20260131-101500-0a1b2c",
    began_s=1769854500.25,
    wall_s=4.5,
    exit_code=1,
    git=Git("0123abcd", "main", dirty=True),
    machine=Machine("a cpu", 2, 1 << 30, "docker 20.10.24", "6.1", "Linux", "3.11.2"),
    settings={"max_stacks": "2"},
    workers=(
        WorkerRecord("main", (Gap("collection", 0.0, 0.5), Gap("between", 1.0, 0.1)), cpu_s=1.5),
    ),
    tests=(
        TestRecord(
            "test_a.py::test_a",
            "main",
            0.5,
            1.25,
            "failed",
            "stateful",
            "dw-shop-1",
            (
                Span("queue", "starting", 0.5, 0.75, shared=True, certain=False),
                Span("fixture", "db", 1.25, 0.25, "setup"),
                Span("call", "", 1.5, 1.0),
            ),
            "AssertionError: not enough",
        ),
    ),
    stacks=(
        StackRecord(
            "dw-shop-1",
            "default",
            (Span("start", "", 0.1, 0.4), Span("wait", "db", 0.3, 0.5)),
            (UnitRecord("db", "abc", 0.5, 1 << 20, 10, 20, 30, 40, 50, "sha256:aa"),),
        ),
    ),
    samples=(Sample(1.0, "dw-shop-1/db", 0.5, 1 << 20, 1, 2, 3, 4),),
    shared=(SharedCost("fixture", "client", "main", 0.5, 3),),
    engine_calls=(EngineCalls("start container", 3, 0.4),),
    counts={"leases": 1},
    notes=("a note",),
    problems=("a problem",),
)


def test_a_record_survives_json() -> None:
    assert RunRecord.from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE


def test_defaults_are_not_written() -> None:
    values = RunRecord("x", 1.0, 2.0, 0, tests=(TestRecord("t", "main", 0.0, 1.0, "passed"),))
    assert values.to_json() == {
        "id": "x",
        "began_s": 1.0,
        "wall_s": 2.0,
        "exit_code": 0,
        "tests": [
            {"nodeid": "t", "worker": "main", "began_s": 0.0, "wall_s": 1.0, "outcome": "passed"}
        ],
    }


def test_unknown_fields_of_newer_versions_are_ignored() -> None:
    values = WHOLE.to_json() | {"mood": "good"}
    assert RunRecord.from_json(values) == WHOLE


@pytest.mark.parametrize("values", [{}, {"id": "x"}, {**WHOLE.to_json(), "tests": 5}])
def test_values_that_are_not_a_run_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a RunRecord"):
        RunRecord.from_json(values)  # type: ignore[arg-type]  # wrong on purpose


def test_shared_time_is_part_of_what_elapsed_but_not_charged() -> None:
    (test,) = WHOLE.tests
    assert test.wall_s == sum(span.seconds for span in test.spans if not span.shared)
    assert test.elapsed_s == 2.0
