"""Worlds of isolated workers: their start with large images, their disk, and a suite that waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.bench import Bench, alternately, timed
from bench.results import Row, speedup, value
from dockwright.errors import DockwrightError
from dockwright.isolate.images import PreparedImages, all_images, named
from dockwright.isolate.inside.plan import ALONE, PLAN, Plan
from dockwright.isolate.planning import find_dockerd
from dockwright.isolate.rights import require_possible

_NAME = "worlds"
_IMAGES = ("postgres:15", "mariadb:10.11", "python:3.11-slim", "redis:7")
_ANSWERED = (
    "import socket,time;s=socket.socket(socket.AF_UNIX);s.connect('/run/docker.sock');"
    "s.sendall(b'GET /_ping HTTP/1.0\\r\\n\\r\\n');s.recv(64);print(time.monotonic())"
)
_SIZE = ("sh", "-c", "docker ps -q; du -sm $DOCKWRIGHT_WORLD | cut -f1")
_TEST = "import time\n\n\ndef test_waits():\n    time.sleep(3)\n"
_COMMAND = (sys.executable, "-c", "from dockwright.cli import main; main()")
_WORKERS = (1, 2, 4)
_FILES = 16


def measure(bench: Bench) -> Iterator[Row]:
    """Start worlds with and without images, and run a suite with more and more workers."""
    try:
        require_possible(engine=True)
        dockerd = find_dockerd("")
    except DockwrightError as failure:
        bench.skip(f"worlds: {failure.message}")
        return
    plan = Plan(str(bench.directory / "worlds"), sys.executable, home=False, dockerd=dockerd)
    images = named(all_images(bench.engine), _IMAGES)
    store = PreparedImages(bench.directory / "world-images")
    place, lock = store.get(bench.engine, images, plan, bench.say)
    full = replace(plan, images=str(place))
    starts = alternately(
        bench,
        bench.rounds(10, quick=2),
        {"with images": lambda: _start_s(full), "without": lambda: _start_s(plan)},
    )
    megabytes = sum(each.size_bytes for each in images) // 1_000_000
    what = f"start until the engine answers, {megabytes} MB of images"
    yield value(_NAME, what, "s", starts["with images"], at_most=1.0)
    yield value(_NAME, "start until the engine answers, no images", "s", starts["without"])
    yield value(_NAME, "disk of a world", "MB", [float(_run(full, *_SIZE))], at_most=20)
    os.close(lock)
    yield from _suite(bench)


def _start_s(plan: Plan) -> float:
    began = time.monotonic()
    return float(_run(plan, plan.python, "-I", "-S", "-c", _ANSWERED)) - began


def _run(plan: Plan, *words: str) -> str:
    environ = {**os.environ, PLAN: plan.to_json()}
    return subprocess.run(
        plan.command(ALONE, *words), env=environ, capture_output=True, text=True, check=True
    ).stdout


def _suite(bench: Bench) -> Iterator[Row]:
    """Run tests that only wait: what is left above that is the cost of worlds and of pytest."""
    directory = bench.directory / "waiting"
    directory.mkdir()
    for number in range(_FILES):
        (directory / f"test_{number}.py").write_text(_TEST)
    runs = {str(number): partial(_wall_s, directory, number) for number in _WORKERS}
    walls = alternately(bench, bench.rounds(5), runs)
    for number in _WORKERS[1:]:
        what = f"{_FILES} tests of 3 s that wait, {number} isolated workers"
        yield speedup(_NAME, what, walls[str(number)], "1 isolated worker", walls["1"])


def _wall_s(directory: Path, workers: int) -> float:
    pytest = (sys.executable, "-m", "pytest", "-q", "-n", str(workers))
    command = (*_COMMAND, "isolate", "--", *pytest)
    return timed(lambda: subprocess.run(command, cwd=directory, check=True, capture_output=True))
