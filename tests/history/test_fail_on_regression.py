"""``--dockwright-fail-on-regression``: a run fails if something became slower, and says what."""

from __future__ import annotations

import pytest

from dockwright.recording import Git, RunRecord, Span, TestRecord
from tests._support.recording.recorded import Recorded
from tests._support.suite import clean_environment

SUITE = """
import time

def test_search():
    time.sleep(0.4)

def test_login():
    pass
"""
NODEID = "test_it.py::test_search"


@pytest.fixture
def recorded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    clean_environment(monkeypatch, pytester.path / "state")
    pytester.makepyfile(test_it=SUITE)
    return Recorded.of(pytester, monkeypatch)


def _remember(recorded: Recorded, seconds: float) -> None:
    """Add twelve earlier runs of main, on the same machine."""
    recorded.run("--dockwright-record=on").assert_outcomes(passed=2)
    last = recorded.last()
    recorded.store.remove([last.id])
    runs = []
    for number in range(12):
        took_s = seconds * (1 + number / 100)
        test = TestRecord(
            NODEID, "main", 0.0, took_s, "passed", spans=(Span("call", "", 0.0, took_s),)
        )
        runs.append(
            RunRecord(
                f"before-{number}",
                last.began_s - 100 + number,
                1.0,
                0,
                Git("", "main"),
                last.machine,
                tests=(test,),
            )
        )
    recorded.store.add(*runs)


def test_a_slower_test_fails_the_run(recorded: Recorded) -> None:
    _remember(recorded, 0.1)
    result = recorded.run("--dockwright-fail-on-regression")  # recorded although no stack is used
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"*regression: the test {NODEID} went*",
            "*no test failed, but the exit status is 1: regression: the test*",
        ]
    )


def test_runs_that_are_not_recorded_cannot_fail(recorded: Recorded) -> None:
    result = recorded.run("--dockwright-record=off", "--dockwright-fail-on-regression")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*dockwright_fail_on_regression compares recorded runs, but dockwright_record is off"]
    )


def test_an_equally_fast_test_does_not_fail_the_run(recorded: Recorded) -> None:
    _remember(recorded, 0.42)
    result = recorded.run("--dockwright-record=on", "--dockwright-fail-on-regression")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*regression: *")
