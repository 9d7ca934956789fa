"""Suites of pytest-docker with tiny stacks, unchanged: on the pool, and as they are."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.bench import Bench, settle
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import run
from bench.results import Row, speedup

_NAME = "compat"
_RIVAL = "pytest-docker itself"
_TIMEOUT_S = 300.0
_COMPOSE = """
services:
  web:
    image: busybox:1
    command: ["busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]
    ports: ["80"]
    stop_signal: SIGKILL
"""
_CONFTEST = """
import os
import urllib.request

import pytest

@pytest.fixture(scope="session")
def docker_compose_command():
    return os.environ["BENCH_COMPOSE"]

@pytest.fixture
def answers(docker_ip, docker_services):
    url = f"http://{docker_ip}:{docker_services.port_for('web', 80)}/hosts"

    def answered():
        try:
            return urllib.request.urlopen(url).status == 200
        except OSError:
            return False

    docker_services.wait_until_responsive(check=answered, timeout=30.0, pause=0.1)
    return answered
"""
_TEST = "def test_it(answers):\n    assert answers()\n"
_numbers = itertools.count(1)


def measure(bench: Bench) -> Iterator[Row]:
    """Run each suite both ways, alternately, in directories of their own."""
    if not bench.compose:
        bench.skip("suites of pytest-docker: there is no Docker Compose v2 here")
        return
    yield _row(bench, "1 test, tiny stack", modules=1)
    yield _row(bench, "6 modules of 1 test, a tiny stack for each", modules=6)


def _row(bench: Bench, what: str, *, modules: int) -> Row:
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(bench.rounds(5)):
        ours.append(_ours(bench, modules))
        theirs.append(_theirs(bench, modules))
    return speedup(_NAME, what, ours, _RIVAL, theirs, at_least=1)


def _ours(bench: Bench, modules: int) -> float:
    python = [sys.executable, "-m", "pytest", *other_plugins_off()]
    return _timed(bench, modules, [*python, "--dockwright-compat=pytest-docker"])


def _theirs(bench: Bench, modules: int) -> float:
    return _timed(bench, modules, [str(bench.rival_python), "-m", "pytest"])


def _timed(bench: Bench, modules: int, pytest: list[str]) -> float:
    directory = bench.directory / f"compat-{next(_numbers)}"
    _write(directory, modules)
    environment = clean_environment(
        BENCH_COMPOSE=shlex.join(bench.compose),
        DOCKWRIGHT_CACHE_DIR=str(directory / "cache"),
    )
    settle()
    argv = [*pytest, "-q", "--container-scope=module"]
    wall_s = run(argv, directory=directory, environment=environment, timeout_s=_TIMEOUT_S).wall_s
    bench.say(f"{Path(argv[0]).parent.parent.name}: {modules} modules in {wall_s:.2f} s")
    return wall_s


def _write(directory: Path, modules: int) -> None:
    (directory / "tests").mkdir(parents=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "tests" / "docker-compose.yml").write_text(_COMPOSE)
    (directory / "tests" / "conftest.py").write_text(_CONFTEST)
    for number in range(modules):
        (directory / "tests" / f"test_{number}.py").write_text(_TEST)
