"""What the plugin costs a suite that uses no stack: time of 1,000 tests, its import, its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from bench.bench import Bench
from bench.processes import Cost, run
from bench.results import Row, cost, value

_NAME = "plugin"
_TESTS = 1_000
_TEST = "def test_{}():\n    pass\n\n\n"
_CONFTEST = """
import json, pathlib, psutil

def pytest_sessionfinish():
    memory = psutil.Process().memory_info().rss
    pathlib.Path("memory.json").write_text(json.dumps(memory))
"""
_IMPORT = """
import time, pytest
began = time.perf_counter()
import dockwright.pytest_plugin.plugin, dockwright.pytest_plugin.fixtures
print(time.perf_counter() - began)
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Run the same empty tests with and without the plugin, alternately."""
    directory = bench.directory / "empty"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "conftest.py").write_text(_CONFTEST)
    (directory / "test_empty.py").write_text("".join(map(_TEST.format, range(_TESTS))))
    rounds = bench.rounds(12, quick=3)
    bench.say(f"{rounds} pairs of runs of {_TESTS} empty tests")
    plain: list[tuple[Cost, float]] = []
    ours: list[tuple[Cost, float]] = []
    _run(directory, [])  # fills the caches of byte code
    for _ in range(rounds):
        plain.append(_run(directory, ["-p", "no:dockwright"]))
        ours.append(_run(directory, []))
    yield from _rows(ours, plain)
    imports = [_import_ms() for _ in range(bench.rounds(15, quick=5))]
    yield value(_NAME, "import of the plugin and its fixtures", "ms", imports, at_most=20)


def _rows(ours: list[tuple[Cost, float]], plain: list[tuple[Cost, float]]) -> Iterator[Row]:
    what, rival = f"{_TESTS} empty tests", "-p no:dockwright"
    for kind, limit in (("cpu_s", 1.01), ("wall_s", None)):
        mine, theirs = ([getattr(each, kind) for each, _ in runs] for runs in (ours, plain))
        yield cost(_NAME, f"{what}, {kind[:-2]} time", mine, rival, theirs, at_most=limit)
    more = [mine - theirs for (_, mine), (_, theirs) in zip(ours, plain, strict=True)]
    yield value(_NAME, "memory of pytest over -p no:dockwright", "MB", more, at_most=25)


def _run(directory: Path, options: list[str]) -> tuple[Cost, float]:
    """Return what a run costs, and its memory at the end in MB."""
    argv = [sys.executable, "-m", "pytest", "-q", *other_plugins_off(), *options]
    ended = run(argv, directory=directory, environment=clean_environment(), timeout_s=120)
    return ended, json.loads((directory / "memory.json").read_text()) / 1e6


def _import_ms() -> float:
    told = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return 1000 * float(told.stdout)


def other_plugins_off(*, but: tuple[str, ...] = ()) -> list[str]:
    """Return the options that turn off what else is installed here, except `but`."""
    names = {point.name for point in entry_points(group="pytest11")} - {"dockwright", *but}
    return [part for name in sorted(names) for part in ("-p", f"no:{name}")]


def clean_environment(**more: str) -> Mapping[str, str]:
    """Return this process's environment without what would change a pytest run.

    Byte code is to be kept: the packages of the rivals' environment came with theirs.
    """
    ours = ("PYTEST_", "DOCKWRIGHT_", "COMPOSE_", "CI", "PYTHONDONTWRITEBYTECODE")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    return {**kept, **more}
