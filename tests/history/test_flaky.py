"""Flaky tests, and what differs when they fail."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.history import flaky_tests
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Git, RunRecord, RunStore, Span, StoreOptions, TestRecord
from tests._support.recording.recorded import Recorded
from tests._support.suite import clean_environment

NAMES = [f"test_it.py::test_{number}" for number in range(12)]
ORDERED, LOADED, RANDOM, ON_WORKER = "t::ordered", "t::loaded", "t::random", "t::on_worker"
Fails = Callable[[str, Sequence[str], bool, str], bool]


def record_of(number: int, fails: Fails, *, git: Git | None = None) -> RunRecord:
    """A run in random order, with two workers, on a machine that is busy now and then."""
    dice = random.Random(number)
    names = [*NAMES, ORDERED, LOADED, RANDOM, ON_WORKER]
    dice.shuffle(names)
    busy = dice.random() < 0.3
    lanes: dict[str, list[str]] = {"gw0": [], "gw1": []}
    tests = []
    for at, name in enumerate(names):
        worker = dice.choice(sorted(lanes))
        seconds = (1.8 if busy else 1.0) * dice.lognormvariate(0.0, 0.05)
        failed = fails(name, lanes[worker], busy, worker)
        message = f"AssertionError: {name} in run {number}" if failed else ""
        spans = (Span("call", "", float(at), seconds),)
        outcome = "failed" if failed else "passed"
        tests.append(
            TestRecord(name, worker, float(at), seconds, outcome, spans=spans, message=message)  # type: ignore[arg-type]  # one of two
        )
        lanes[worker].append(name)
    git = git or Git("abcd" * 10, "main", dirty=False)
    return RunRecord(f"r{number:03}", 1.8e9 + number, 9.0, 1, git, tests=tuple(tests))


def three_kinds(name: str, earlier: Sequence[str], busy: bool, worker: str) -> bool:
    if name == RANDOM:
        return random.random() < 0.3
    return {
        ORDERED: NAMES[3] in earlier,
        LOADED: busy,
        ON_WORKER: worker == "gw1",
    }.get(name, False)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs.sqlite3", StoreOptions(keep_days=0, keep_runs=0))


def test_the_cause_of_flakiness_is_recognised_over_fifty_runs(store: RunStore) -> None:
    random.seed(3)
    store.add(*(record_of(number, three_kinds) for number in range(50)))
    found = {each.nodeid: each for each in flaky_tests(store)}
    assert {name: each.cause for name, each in found.items()} == {
        ORDERED: "order",
        LOADED: "load",
        RANDOM: "random",
        ON_WORKER: "worker",
    }
    assert found[ORDERED].detail == f"it fails when it runs after {NAMES[3]}"
    assert found[LOADED].detail == "it fails when the machine is busy"
    assert found[ON_WORKER].detail == "it fails when it runs on worker gw1"
    assert found[RANDOM].attempts == 50
    assert 0.1 < found[RANDOM].rate < 0.5
    last = found[RANDOM].last
    assert found[RANDOM].message == f"AssertionError: {RANDOM} in run {int(last[1:])}"


def test_a_change_of_the_source_is_not_flaky(store: RunStore) -> None:
    def broken(name: str, *_: object) -> bool:
        return name == NAMES[0]

    def working(*_: object) -> bool:
        return False

    dirty = Git("aaaa" * 10, "main", dirty=True)
    store.add(
        record_of(1, broken, git=Git("aaaa" * 10, "main", dirty=False)),
        record_of(2, working, git=Git("bbbb" * 10, "main", dirty=False)),
        record_of(3, working, git=dirty),
        record_of(4, working, git=Git()),
        record_of(5, broken, git=Git()),
    )
    assert flaky_tests(store) == []


def test_a_rerun_that_passes_is_flaky(store: RunStore) -> None:
    record = record_of(1, lambda *_: False)
    again = replace(record.tests[0], outcome="rerun", message="OSError: no")
    store.add(replace(record, tests=(again, *record.tests)))
    (found,) = flaky_tests(store)
    assert (found.failed, found.attempts, found.message) == (1, 2, "OSError: no")


def test_errors_that_services_log_in_failed_attempts_are_named(store: RunStore) -> None:
    def logged(number: int) -> RunRecord:
        record = record_of(number, lambda name, *_: name == RANDOM and number % 2 == 0)
        lines = (
            f"web: [{number}] ERROR: cannot reach 0x{number:08x}",
            f"db: 10:0{number}:00 ERROR: deadlock detected",
        )
        tests = (
            replace(test, logs=lines[number == 4 :]) if test.outcome == "failed" else test
            for test in record.tests
        )
        return replace(record, tests=tuple(tests))

    store.add(*(logged(number) for number in range(8)))
    (found,) = flaky_tests(store)
    assert found.log == "db logged in 4 of 4 failures: 10:06:00 ERROR: deadlock detected"


def test_the_command_lists_flaky_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    assert run(["runs", "flaky"]) == 0
    assert capsys.readouterr().err == "no flaky test\n"
    file = runs_file({"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}, project_hash(tmp_path))
    store = RunStore(file, StoreOptions(keep_days=0, keep_runs=0))
    store.add(*(record_of(number, three_kinds) for number in range(30)))
    assert run(["runs", "flaky"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["TEST", "FAILED", "OF", "RATE", "WHY", "LAST", "FAILURE", "MESSAGE"]
    assert len(rows) == 4
    assert run(["runs", "flaky", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert {each["nodeid"]: each["cause"] for each in documents}[LOADED] == "load"


SUITE = """
    import os
    import random
    import time

    import pytest

    RUN = int(os.environ["RUN"])
    BUSY = RUN % 4 == 0
    BEFORE = []

    @pytest.fixture(autouse=True)
    def usual_time(request):
        time.sleep(0.1 if BUSY else 0.04)
        yield
        BEFORE.append(request.node.name)

    def test_at_random():
        assert random.Random(1000 + RUN).random() > 0.3

    def test_after_another():
        assert "test_number[3]" not in BEFORE, "3 was before"

    def test_under_load():
        assert not BUSY, "too slow"

    @pytest.mark.parametrize("number", range(9))
    def test_number(number): pass
"""
SHUFFLE = """
    import os
    import random

    def pytest_collection_modifyitems(items):
        random.Random(int(os.environ["RUN"])).shuffle(items)
"""


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_three_kinds_are_recognised_in_fifty_real_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_environment(monkeypatch, pytester.path / "state")
    pytester.makepyfile(test_it=SUITE)
    pytester.makeconftest(SHUFFLE)
    for arguments in (
        ["init", "-q"],
        ["add", "test_it.py", "conftest.py"],
        ["commit", "-q", "-m", "first"],
    ):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        pytester.run("git", *identity, *arguments)
    recorded = Recorded.of(pytester, monkeypatch)
    for number in range(50):
        monkeypatch.setenv("RUN", str(number))
        recorded.run("--dockwright-record=on")
    found = {each.nodeid.rpartition("::")[2]: each for each in flaky_tests(recorded.store)}
    assert {name: each.cause for name, each in found.items()} == {
        "test_at_random": "random",
        "test_after_another": "order",
        "test_under_load": "load",
    }
    assert found["test_after_another"].detail.endswith("it runs after test_it.py::test_number[3]")
    assert found["test_after_another"].message == "AssertionError: 3 was before"
    assert {each.attempts for each in found.values()} == {50}
