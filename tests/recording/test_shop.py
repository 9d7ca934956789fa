"""On the example suite the time of each test and each lane adds up, and the stacks tell theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.recording import RunRecord
from dockwright.report.summary import background_shares
from tests._support.recording.recorded import Recorded, assert_adds_up
from tests._support.sample import FULL
from tests._support.suite import Suite, clean_environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"

TESTS = () if FULL else ("tests/test_carts.py", "tests/test_reading.py", "tests/test_money.py")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@pytest.fixture
def recorded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> Recorded:
    clean_environment(monkeypatch, pytester.path.parent / "state")
    shutil.copytree(EXAMPLE, pytester.path, dirs_exist_ok=True)
    return Recorded.of(pytester, monkeypatch)


def test_everything_adds_up(recorded: Recorded, engine: Engine) -> None:
    try:
        result = recorded.run("-n", "2", *TESTS)
    finally:
        Suite(recorded.pytester, engine).remove()
    assert result.ret == 0
    record = recorded.last()
    assert_adds_up(record, recorded.observed())
    _assert_stacks_tell(record)
    _assert_boots_are_shared(record)


def _assert_stacks_tell(record: RunRecord) -> None:
    assert record.machine.engine.startswith(("docker ", "podman "))
    used = [stack for stack in record.stacks if any(s.phase == "lease" for s in stack.spans)]
    assert used
    for stack in used:  # another one may have been called off when the run was over
        assert {"start", "wait", "cleanup"} <= {span.phase for span in stack.spans}
        assert {span.name for span in stack.spans if span.phase == "wait"} >= {"db", "cache", "web"}
        by_unit = {unit.unit: unit for unit in stack.units}
        assert set(by_unit) == {"db", "cache", "web"}
        assert (by_unit["db"].cpu_s or 0) > 0
        assert by_unit["db"].image.startswith("sha256:")
        assert (by_unit["db"].peak_memory_bytes or 0) > 1 << 20
    leases = sum(span.phase == "lease" for stack in record.stacks for span in stack.spans)
    assert leases == record.counts["leases"]
    shown = {share.kind: share.count for share in background_shares(record.stacks)}
    assert record.counts["started"] == shown["start"]
    assert record.counts["resets"] == shown.get("reset", 0)
    assert sum(call.count for call in record.engine_calls) >= record.counts["engine_calls"]


def _assert_boots_are_shared(record: RunRecord) -> None:
    boots = [span for test in record.tests for span in test.spans if span.name == "starting"]
    assert boots
    assert all(span.shared for span in boots)
    projects = {stack.project for stack in record.stacks}
    with_stack = [test for test in record.tests if test.lane != "none"]
    assert with_stack
    assert {test.stack for test in with_stack} <= projects
