"""Suites of testcontainers-python, unchanged: on dockwright's pool, and as they are."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.bench import Bench, settle
from bench.contenders import end_broker
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import run
from bench.results import Row, speedup, value

_NAME = "testcontainers"
_RIVAL = "testcontainers-python alone"
_TESTS = 24
_TIMEOUT_S = 600.0
_CONFTEST = """
import json

TIMES = {}

def pytest_runtest_logreport(report):
    TIMES[report.nodeid] = TIMES.get(report.nodeid, 0.0) + report.duration

def pytest_sessionfinish():
    with open("times.json", "w") as file:
        json.dump(list(TIMES.values()), file)
"""
_IMPORT = "from testcontainers.{module}postgres import PostgresContainer\n"
_NOTHING = _IMPORT + "\ndef test():\n    pass\n"
_SUITE = (
    _IMPORT
    + """
import psycopg
import pytest

@pytest.fixture(scope="{scope}")
def postgres():
    with PostgresContainer("postgres:15", driver=None) as container:
        yield container

@pytest.mark.parametrize("number", range({tests}))
def test_write(postgres, number):
    with psycopg.connect(postgres.get_connection_url()) as connection:
        connection.execute(f"create table orders_{{number}} (id int)")
        connection.execute(f"insert into orders_{{number}} values (1)")
        tables = connection.execute(
            "select count(*) from pg_tables where schemaname = 'public'"
        ).fetchone()
    assert tables == (1,) or "{scope}" == "session"
"""
)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run took: all of it, and each test with its fixtures, in seconds."""

    wall_s: float
    tests: list[float]


def measure(bench: Bench) -> Iterator[Row]:
    """Run suites with and without dockwright, alternately, in one environment."""
    if find_spec("testcontainers") is None:
        bench.skip("suites of testcontainers: it is not installed in this environment")
        return
    yield from _function_scoped(bench)
    yield from _session_scoped(bench)
    yield from _imports(bench)


def _function_scoped(bench: Bench) -> Iterator[Row]:
    cold: list[float] = []
    kept: list[float] = []
    plain: list[float] = []
    few = _TESTS if bench.full else 6
    for _ in range(bench.rounds(2)):
        cold.append(_ours(bench, "function", _TESTS).wall_s)
        kept.append(_kept(bench, "function", _TESTS))
        plain.append(_extrapolated(_plain(bench, "function", few)))
    what, note = f"{_TESTS} tests, a PostgresContainer for each", ""
    if few < _TESTS:
        note = f"{few} of {_TESTS} tests run without dockwright, the others extrapolated"
    yield speedup(_NAME, f"{what}, cold", cold, _RIVAL, plain, at_least=10, note=note)
    yield speedup(_NAME, f"{what}, kept pool", kept, _RIVAL, plain, at_least=40, note=note)


def _session_scoped(bench: Bench) -> Iterator[Row]:
    cold: list[float] = []
    cached: list[float] = []
    plain: list[float] = []
    cache = bench.directory / "testcontainers-cache"
    _ours(bench, "session", _TESTS, cache=cache)
    for _ in range(bench.rounds(3)):
        cold.append(_ours(bench, "session", _TESTS).wall_s)
        cached.append(_ours(bench, "session", _TESTS, cache=cache).wall_s)
        plain.append(_plain(bench, "session", _TESTS).wall_s)
    what = f"{_TESTS} tests, one PostgresContainer"
    yield speedup(_NAME, f"{what}, cold", cold, _RIVAL, plain, at_least=2)
    yield speedup(_NAME, f"{what}, baseline kept by an earlier run", cached, _RIVAL, plain)


def _imports(bench: Bench) -> Iterator[Row]:
    directory = _directory(bench, _NOTHING.format(module=_module()))
    ours: list[float] = []
    plain: list[float] = []
    _pytest(directory, _ON)  # fills the caches of byte code
    for _ in range(bench.rounds(15, quick=3)):
        ours.append(_pytest(directory, _ON))
        plain.append(_pytest(directory, ["--dockwright-record=off"]))
    more = [1000 * (mine - theirs) for mine, theirs in zip(ours, plain, strict=True)]
    what = "a suite that imports testcontainers and starts nothing, over the same without compat"
    yield value(_NAME, what, "ms", more, at_most=5)


_ON = ["--dockwright-compat=testcontainers", "--dockwright-record=off"]


def _ours(bench: Bench, scope: str, tests: int, *, cache: Path | None = None) -> _Run:
    directory = _suite(bench, scope, tests)
    return _timed(bench, directory, _ON, cache or directory / "cache")


def _kept(bench: Bench, scope: str, tests: int) -> float:
    """Return how long a run takes for which an earlier one kept its pool."""
    directory = _suite(bench, scope, tests)
    warm = [*_ON, "--dockwright-keep-warm=2m"]
    try:
        for _ in range(2):  # the first one starts the pool, and makes it have spares
            _timed(bench, directory, warm, directory / "cache")
            settle()
        return _timed(bench, directory, warm, directory / "cache").wall_s
    finally:
        end_broker(directory)


def _plain(bench: Bench, scope: str, tests: int) -> _Run:
    directory = _suite(bench, scope, tests)
    return _timed(bench, directory, ["-p", "no:dockwright"], directory / "cache")


def _extrapolated(found: _Run) -> float:
    missing = _TESTS - len(found.tests)
    return found.wall_s + missing * statistics.median(found.tests)


def _suite(bench: Bench, scope: str, tests: int) -> Path:
    return _directory(bench, _SUITE.format(scope=scope, tests=tests, module=_module()))


def _module() -> str:
    return "community." if find_spec("testcontainers.community") else ""


def _directory(bench: Bench, text: str) -> Path:
    directory = bench.directory / f"testcontainers-{next(_numbers)}"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "conftest.py").write_text(_CONFTEST)
    (directory / "test_suite.py").write_text(text)
    return directory


def _timed(bench: Bench, directory: Path, options: list[str], cache: Path) -> _Run:
    settle()
    wall_s = _pytest(directory, options, DOCKWRIGHT_CACHE_DIR=str(cache))
    times = json.loads((directory / "times.json").read_text())
    bench.say(f"{' '.join(options)}: {len(times)} tests in {wall_s:.2f} s")
    return _Run(wall_s, times)


def _pytest(directory: Path, options: list[str], **more: str) -> float:
    argv = [sys.executable, "-m", "pytest", "-q", *other_plugins_off(), *options]
    # Its reaper is an image, which could not be had where no registry is reachable.
    environment = clean_environment(TESTCONTAINERS_RYUK_DISABLED="true", **more)
    return run(argv, directory=directory, environment=environment, timeout_s=_TIMEOUT_S).wall_s
