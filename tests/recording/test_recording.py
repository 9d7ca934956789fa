"""What is recorded of a suite: every test, every fixture by name, and sums that are right."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from dockwright.recording import RunRecord
from tests._support.recording.recorded import Recorded, assert_adds_up, by_name
from tests._support.suite import clean_environment

SUITE = """
import time, pytest

@pytest.fixture(scope="session")
def wide():
    time.sleep(0.05)
    yield
    time.sleep(0.03)

@pytest.fixture
def inner():
    time.sleep(0.02)
    yield
    time.sleep(0.01)

@pytest.fixture
def outer(request, wide):
    time.sleep(0.01)
    request.getfixturevalue("inner")
    time.sleep(0.01)

@pytest.fixture
def breaks():
    raise OSError("in a fixture")

@pytest.fixture
def breaks_later():
    yield
    raise OSError("in a tear-down")

def test_passes(outer):
    time.sleep(0.04)

def test_asks_late(request, wide):
    time.sleep(0.01)
    request.getfixturevalue("inner")
    time.sleep(0.01)

def test_fails(inner): assert 0
def test_breaks(breaks): pass
def test_breaks_later(breaks_later): pass
def test_skips(): pytest.skip("not today")

@pytest.mark.xfail
def test_fails_as_expected(): assert 0

@pytest.mark.xfail
def test_passes_unexpectedly(): pass

@pytest.mark.parametrize("number", range(3))
def test_many(number): pass
"""

OUTCOMES = {
    "test_passes": "passed",
    "test_asks_late": "passed",
    "test_fails": "failed",
    "test_breaks": "error",
    "test_breaks_later": "error",
    "test_skips": "skipped",
    "test_fails_as_expected": "xfailed",
    "test_passes_unexpectedly": "xpassed",
    "test_many[0]": "passed",
    "test_many[1]": "passed",
    "test_many[2]": "passed",
}


@pytest.fixture
def recorded(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    clean_environment(monkeypatch, pytester.path / "state")
    return Recorded.of(pytester, monkeypatch)


def test_each_test_is_recorded_and_adds_up(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(test_it=SUITE)
    recorded.run("--dockwright-record=on").assert_outcomes(
        passed=6, failed=1, errors=2, skipped=1, xfailed=1, xpassed=1
    )
    record = recorded.last()
    tests = by_name(record)
    assert {name: test.outcome for name, test in tests.items()} == OUTCOMES
    assert_adds_up(record, recorded.observed())
    assert {name: test.message for name, test in tests.items() if test.message} == {
        "test_fails": "assert 0",
        "test_breaks": "OSError: in a fixture",
        "test_breaks_later": "OSError: in a tear-down",
    }
    (worker,) = record.workers
    assert worker.name == "main"
    assert {gap.name for gap in worker.gaps} >= {"collection", "between", "closing"}
    assert worker.cpu_s > 0.1
    assert (record.exit_code, record.stacks) == (1, ())
    assert record.settings == {"record": "on", "wait_for_removal": "True"}
    found = [(span.phase, span.name, span.step) for span in tests["test_passes"].spans]
    assert [each for each in found if each[0] != "other"] == [
        ("fixture", "wide", "setup"),
        ("fixture", "outer", "setup"),
        ("fixture", "inner", "setup"),
        ("fixture", "outer", "setup"),
        ("call", "", ""),
        ("fixture", "inner", "teardown"),
    ]
    late = [
        (span.phase, span.name) for span in tests["test_asks_late"].spans if span.phase != "other"
    ]
    assert late == [("call", ""), ("fixture", "inner"), ("call", ""), ("fixture", "inner")]


def test_shared_time_is_charged_to_no_test(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(test_it=SUITE)
    recorded.run("--dockwright-record=on", "-k", "test_passes and not unexpectedly or asks_late")
    record = recorded.last()
    first = by_name(record)["test_passes"]
    assert [span.name for span in first.spans if span.shared] == ["wide"]
    assert first.wall_s < first.elapsed_s - 0.05
    (cost,) = record.shared
    assert (cost.name, cost.lane, cost.tests) == ("wide", "main", 2)
    assert cost.seconds == pytest.approx(0.08, abs=0.04)


def test_each_xdist_worker_has_a_lane(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(test_it=SUITE)
    recorded.run("--dockwright-record=on", "-n", "2")
    record = recorded.last()
    assert {name: test.outcome for name, test in by_name(record).items()} == OUTCOMES
    assert [worker.name for worker in record.workers] == ["gw0", "gw1"]
    assert_adds_up(record, recorded.observed())


def test_a_report_has_what_workers_ran_also_where_nothing_is_kept(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(test_it=SUITE)
    report = recorded.pytester.path / "run.json"
    recorded.run("--dockwright-record=off", "-n", "2", f"--dockwright-report={report}")
    record = RunRecord.from_json(json.loads(report.read_text("utf-8"))["run"])
    assert {name: test.outcome for name, test in by_name(record).items()} == OUTCOMES
    assert record.settings["report"] == str(report)
    assert not recorded.cache.exists()


def test_a_dead_worker_loses_no_finished_test(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(
        """
        import os

        def test_a(): pass
        def test_b(): pass
        def test_dies(): os._exit(3)
        """
    )
    recorded.run("--dockwright-record=on", "-n", "1")
    record = recorded.last()
    assert {"test_a", "test_b"} <= set(by_name(record))
    lost = next(worker for worker in record.workers if worker.name == "gw0")
    assert sum(gap.seconds for gap in lost.gaps) > 0.9 * record.wall_s - 0.5


def test_a_test_that_is_run_again_is_several_attempts(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(
        """
        from pathlib import Path

        def test_second_time_lucky():
            once = Path(__file__).with_name("once")
            assert once.exists() or once.touch()
        """
    )
    recorded.run("--dockwright-record=on", "--reruns", "2").assert_outcomes(passed=1)
    assert [test.outcome for test in recorded.last().tests] == ["rerun", "passed"]


def test_a_test_that_stops_pytests_clock_is_recorded_as_it_was(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def stopped(monkeypatch):
            monkeypatch.setattr("_pytest.timing.perf_counter", lambda: 1e9)

        def test_in_no_time(stopped): pass
        """
    )
    recorded.run("--dockwright-record=on")
    (test,) = recorded.last().tests
    assert 0 < test.elapsed_s < 5


def test_a_run_without_stacks_is_not_recorded(recorded: Recorded) -> None:
    recorded.pytester.makepyfile(
        """
        import sys

        def test_it():
            loaded = {"dockwright.pytest_plugin.recording", "dockwright.recording"}
            assert not loaded & set(sys.modules)
        """
    )
    recorded.run().assert_outcomes(passed=1)
    assert not recorded.cache.exists()


def test_a_damaged_store_fails_no_run(recorded: Recorded) -> None:
    recorded.pytester.makepyfile("def test_it(): pass")
    file = recorded.store.file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 100)
    result = recorded.run("--dockwright-record=on", "-W", "error")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: the store of past runs was damaged; *moved it to *"])
    assert recorded.last().exit_code == 0


def test_a_newer_store_fails_no_run(recorded: Recorded) -> None:
    recorded.pytester.makepyfile("def test_it(): pass")
    recorded.run("--dockwright-record=on")
    with closing(sqlite3.connect(recorded.store.file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    result = recorded.run("--dockwright-record=on")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: could not save this run: *newer dockwright*"])


def test_a_secret_is_not_kept(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t0p-s3cret-value")
    recorded.pytester.makepyfile(
        """
        import os, pytest

        secret = os.environ["SHOP_TOKEN"]

        @pytest.mark.parametrize("url", [f"http://me:{secret}@host/x", f"see {secret}"])
        def test_it(url): pass

        @pytest.fixture(params=[os.environ["SHOP_TOKEN"]])
        def secretive(request): pass

        def test_other(secretive): pass
        """
    )
    recorded.run("--dockwright-record=on", "--dockwright-engine=tcp://me:t0p-s3cret-value@h:1")
    record = recorded.last()
    assert len(record.tests) == 3
    assert "t0p-s3cret-value" not in str(record)
    assert record.settings["engine"] == "tcp://me:***@h:1"
    content = b"".join(file.read_bytes() for file in recorded.cache.rglob("*") if file.is_file())
    assert b"t0p-s3cret-value" not in content


def test_a_wrong_value_of_the_setting(recorded: Recorded) -> None:
    result = recorded.run("--dockwright-record=sometimes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*record = 'sometimes': expected one of: auto, on, off*"])
