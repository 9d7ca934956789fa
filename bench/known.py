"""Reused results: a run of many tests with stacks that nothing has changed for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.bench import Bench
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import Cost, run
from bench.results import Row, cost, value
from dockwright.engine import PREFIX
from dockwright.paths import project_hash

_NAME = "known results"
_TESTS, _FILES = 500, 10
_COMPOSE = """
services:
  web:
    image: busybox:1
    command: sh -c "trap 'exit 0' TERM; httpd -p 8000 -h /www; while :; do sleep 0.1; done"
    ports: ["8000"]
    volumes: ["./www:/www:ro"]
"""
_HEAD = "import pytest\n\npytestmark = pytest.mark.stateless\n\n"
_TEST = "def test_{}(stack):\n    assert stack.url('web', 8000)\n\n\n"


def measure(bench: Bench) -> Iterator[Row]:
    """Run the tests once, and then again, alternately without any stack and without dockwright."""
    directory = bench.directory / "known"
    _write(directory)
    first = _run(bench, directory, ["--dockwright-results=use"])
    rounds = bench.rounds(8, quick=3)
    bench.say(f"{rounds} runs of {_TESTS} tests with stacks that are known")
    began = int(time.time())
    plain = ["-p", "no:dockwright", "-p", "no:pytest-testmon", "plain"]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        theirs.append(_run(bench, directory, plain).wall_s)
        ours.append(_run(bench, directory, ["--dockwright-results=use", "tests"]).wall_s)
    what = f"{_TESTS} tests with stacks, nothing changed"
    yield value(_NAME, what, "s", ours, at_most=1.5)
    rival = f"{_TESTS} empty tests without dockwright"
    yield cost(_NAME, what, ours, rival, theirs)
    yield cost(_NAME, what, ours, "the first run", [first.wall_s] * rounds)
    yield value(
        _NAME, "events of containers meanwhile", "", [_events(bench, directory, began)], at_most=0
    )


def _write(directory: Path) -> None:
    for kind, head, test in (("tests", _HEAD, _TEST), ("plain", "", _TEST)):
        (directory / kind).mkdir(parents=True)
        for number in range(_FILES):
            numbers = range(number * _TESTS // _FILES, (number + 1) * _TESTS // _FILES)
            text = head + "".join(map(test.format, numbers))
            if kind == "plain":
                text = text.replace("(stack)", "()").replace(
                    "assert stack.url('web', 8000)", "pass"
                )
            (directory / kind / f"test_{kind}_{number}.py").write_text(text)
    (directory / "www").mkdir()
    (directory / "www" / "index.html").write_text("hello\n")
    (directory / "compose.yaml").write_text(_COMPOSE)
    (directory / "pytest.ini").write_text("[pytest]\n")


def _run(bench: Bench, directory: Path, options: list[str]) -> Cost:
    argv = [sys.executable, "-m", "pytest", "-q", *other_plugins_off(but=("pytest-testmon",))]
    environment = clean_environment(DOCKWRIGHT_CACHE_DIR=str(bench.directory / "cache"))
    targets = options if options[-1] in ("tests", "plain") else [*options, "tests"]
    return run([*argv, *targets], directory=directory, environment=environment, timeout_s=300)


def _events(bench: Bench, directory: Path, began: int) -> float:
    """Return how many events of the suite's containers the engine has seen since then."""
    label = f"{PREFIX}project={project_hash(directory)}"
    events = bench.engine.sdk.api.events(
        since=began, until=int(time.time()) + 1, filters={"label": label}, decode=True
    )
    return float(sum(1 for event in events if event["Action"] in ("create", "start")))
