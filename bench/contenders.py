"""Runs the suite of `bench/suite` as one contender would, in a directory of its own."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.bench import HERE, SHOP, Bench, settle
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import run
from bench.start import FILES
from dockwright.pool.runtime import BrokerPlace
from dockwright.pool.session import find_endpoint

_TIMEOUT_S = 400.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Suite:
    """How the suite is run.

    Attributes:
        file: which tests.
        options: further command-line options of pytest.
        plugins: entry points of pytest plugins that are not turned off.
        writers: only so many of the tests that change state; None: all.
        environment: further variables.
    """

    file: str = "test_shop.py"
    options: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    writers: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """What a run of the suite took.

    Attributes:
        wall_s: the whole pytest process, from its start to its end.
        tests: for each test: `setup_s`, `call_s`, `teardown_s` and what the contender noted.
        first_body_s: from the end of the collection to the first test's body.
    """

    wall_s: float
    tests: Sequence[Mapping[str, Any]]
    first_body_s: float

    @classmethod
    def read(cls, wall_s: float, record: Path) -> SuiteRun:
        """Return a run that took so long, with what the recorder wrote down of it."""
        told = json.loads(record.read_text())
        return cls(wall_s, list(told["tests"].values()), told["first_body_s"])

    def whole_s(self, *, stateful: bool) -> list[float]:
        """Return the whole time of each test of one kind, but not of the one that saw the start."""
        return [
            test["setup_s"] + test["call_s"] + test["teardown_s"]
            for test in self.tests
            if test.get("stateful", False) is stateful and not test.get("is_first")
        ]

    def lease_waits_s(self) -> list[float]:
        """Return how long each test waited for its stack, without waits for its start."""
        return [test["lease_wait_s"] for test in self.tests if "lease_wait_s" in test]


def new_directory(bench: Bench, contender: str) -> Path:
    """Return a directory with the suite, the contender's conftest and its configuration."""
    directory = bench.directory / f"{contender}-{next(_numbers)}"
    shutil.copytree(HERE / "suite", directory, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "rivals" / contender / "conftest.py", directory)
    lines = ["[pytest]", "addopts = -q -p recorder"]
    if contender == "dockwright":
        lines += ["dockwright_compose =", *(f"    {file}" for file in FILES)]
    (directory / "pytest.ini").write_text("\n".join(lines) + "\n")
    return directory


def run_suite(
    bench: Bench, contender: str, suite: Suite, *, directory: Path | None = None
) -> SuiteRun:
    """Run the suite once.

    Args:
        bench: whose engine and environment.
        contender: a directory below `bench/rivals`.
        suite: how it is run.
        directory: of an earlier run, to run there once more; None: a new one.

    Raises:
        RuntimeError: a test failed; with the end of pytest's output.
    """
    place = directory or new_directory(bench, contender)
    record = place / "record.json"
    python = [sys.executable] if contender == "dockwright" else [str(bench.rival_python)]
    off = other_plugins_off(but=suite.plugins) if contender == "dockwright" else []
    argv = [*python, "-m", "pytest", *off, *suite.options, suite.file]
    environment = clean_environment(**_variables(bench, suite, record))
    settle()
    cost = run(argv, directory=place, environment=environment, timeout_s=_TIMEOUT_S)
    found = SuiteRun.read(cost.wall_s, record)
    bench.say(f"{contender}: {len(found.tests)} tests in {cost.wall_s:.2f} s")
    return found


@contextmanager
def warm_directory(bench: Bench) -> Iterator[Path]:
    """Yield a directory whose pool may stay up between runs; it is ended afterwards."""
    directory = new_directory(bench, "dockwright")
    try:
        yield directory
    finally:
        end_broker(directory)


def _variables(bench: Bench, suite: Suite, record: Path) -> dict[str, str]:
    variables = {
        **bench.variables,
        "BENCH_SHOP": str(SHOP),
        "BENCH_COMPOSE": shlex.join(bench.compose),
        "BENCH_COMPOSE_FILES": os.pathsep.join(map(str, FILES)),
        "BENCH_RECORD": str(record),
        "DOCKWRIGHT_CACHE_DIR": str(record.parent / "cache"),
        # Its reaper is an image, which could not be had where no registry is reachable.
        "TESTCONTAINERS_RYUK_DISABLED": "true",
        **suite.environment,
    }
    return (
        variables if suite.writers is None else {**variables, "BENCH_WRITERS": str(suite.writers)}
    )


def end_broker(root: Path) -> None:
    """End the process that keeps the pool of a directory, and wait until all is removed."""
    place = BrokerPlace.of(root, find_endpoint("", os.environ).url)
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "dockwright.pool.broker" in command and str(place.address) in command:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
