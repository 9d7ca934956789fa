"""What recording a run costs: the tests, the samples, the record at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench.bench import LABEL, Bench, timed
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import Cost, run
from bench.results import Row, cost, value
from dockwright.recording import (
    Attempt,
    Git,
    RunInfo,
    RunningCopy,
    RunStore,
    Sampler,
    Summary,
    assemble,
    this_machine,
)

_NAME = "recorder"
_TESTS = 200
_MANY = 5_000
_CONTAINERS = 6
_CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def wide():
    yield

@pytest.fixture
def first(wide):
    yield

@pytest.fixture
def second(first):
    yield
"""
_TEST = """
def test_{}(second):
    time.sleep(0.05)
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Run tests of 50 ms with three fixtures, recorded and not; then look at the parts."""
    directory = bench.directory / "recorded"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "conftest.py").write_text(_CONFTEST)
    tests = "import time\n" + "".join(map(_TEST.format, range(_TESTS)))
    (directory / "test_brief.py").write_text(tests)
    rounds = bench.rounds(3, quick=1)
    bench.say(f"{rounds} pairs of runs of {_TESTS} tests of 50 ms")
    on: list[Cost] = []
    off: list[Cost] = []
    _run(directory, "on")  # fills the caches of byte code
    for _ in range(rounds):
        on.append(_run(directory, "on"))
        off.append(_run(directory, "off"))
    what, rival = f"{_TESTS} tests of 50 ms, wall time", "not recorded"
    walls = [[each.wall_s for each in costs] for costs in (on, off)]
    yield cost(_NAME, what, walls[0], rival, walls[1], at_most=1.01)
    more = [
        1e6 * (mine.cpu_s - theirs.cpu_s) / _TESTS for mine, theirs in zip(on, off, strict=True)
    ]
    yield value(_NAME, "processor time for each test", "us", more)
    yield from _samples(bench)
    yield from _record(bench)


def _run(directory: Path, record: str) -> Cost:
    environment = clean_environment(DOCKWRIGHT_CACHE_DIR=str(directory / "cache"))
    argv = [sys.executable, "-m", "pytest", "-q", *other_plugins_off()]
    return run(
        [*argv, f"--dockwright-record={record}"],
        directory=directory,
        environment=environment,
        timeout_s=120,
    )


def _samples(bench: Bench) -> Iterator[Row]:
    """Time looks at running containers, as the broker takes one every second."""
    config = {"Image": bench.web_image, "Cmd": ["sleep", "600"], "Labels": {LABEL: bench.run}}
    names = [f"{LABEL}-{bench.run}-{number}" for number in range(_CONTAINERS)]
    containers = {name: bench.engine.create_container(name, config) for name in names}
    try:
        for container in containers.values():
            bench.engine.start_container(container)
        copy = RunningCopy("bench", containers)
        sampler = Sampler(lambda: [copy], lambda: bench.engine)
        sampler.watch("main", 1)
        sampler.look(copy)  # finds where to read
        looks = [1e3 * timed(lambda: sampler.look(copy)) for _ in range(bench.rounds(50, quick=3))]
        sampler.close()
    finally:
        for container in containers.values():
            bench.engine.remove_container(container)
    yield value(_NAME, f"one look at {_CONTAINERS} containers", "ms", looks, at_most=10)


def _record(bench: Bench) -> Iterator[Row]:
    """Time the end of a long run: its record is made and written."""
    times = [_conclude(bench, number) for number in range(bench.rounds(5, quick=1))]
    yield value(_NAME, f"making and writing a record of {_MANY} tests", "s", times)


def _conclude(bench: Bench, number: int) -> float:
    attempts = [_attempt(index) for index in range(_MANY)]
    store = RunStore(bench.directory / "many.sqlite3")
    facts = RunInfo(f"{number}", 0.0, 0, Git(), this_machine(), now=_MANY * 0.1)
    return timed(lambda: store.add(assemble(facts, attempts, [], Summary())))


def _attempt(index: int) -> Attempt:
    began = index * 0.1
    raw_spans = [
        ["queue", "default", began + 0.01, 0.01, "", False, "dw-1"],
        ["fixture", "stack", began + 0.02, 0.01, "setup", False, ""],
        ["fixture", "client", began + 0.03, 0.01, "setup", False, ""],
        ["fixture", "client", began + 0.08, 0.01, "teardown", False, ""],
    ]
    stages = {
        "setup": (began, began + 0.04),
        "call": (began + 0.04, began + 0.08),
        "teardown": (began + 0.08, began + 0.1),
    }
    nodeid = f"tests/test_{index % 100}.py::test_{index}"
    return Attempt(nodeid, "main", stages, raw_spans, lane="stateful", stack="dw-1")
