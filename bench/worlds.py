"""Worlds of isolated workers: their start with large images, their disk, and a suite that waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from tests._support.isolate.legacy import write_suite

from bench.bench import Bench, alternately, timed
from bench.results import Row, cost, speedup, value
from dockwright.errors import DockwrightError
from dockwright.isolate.images import PreparedImages, all_images, named
from dockwright.isolate.inside.plan import ALONE, PLAN, Plan
from dockwright.isolate.notes import Notes
from dockwright.isolate.planning import find_dockerd
from dockwright.isolate.rights import require_possible
from dockwright.paths import cache_directory, project_hash

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
_LEGACY_FILES, _LEGACY_WORKERS = 12, (1, 2, 4, 8)
_PAUSE_S = 0.5
_LEGACY_IMAGE = "busybox:1"


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
    yield from _legacy(bench)


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


def _legacy(bench: Bench) -> Iterator[Row]:
    """Run a suite that cannot run beside itself; every run has to come out the same."""
    directory = bench.directory / "legacy"
    write_suite(directory, files=_LEGACY_FILES, pause_s=_PAUSE_S, image=_LEGACY_IMAGE)
    walls: dict[int, list[float]] = {each: [] for each in _LEGACY_WORKERS}
    bounds: dict[int, list[float]] = {each: [] for each in _LEGACY_WORKERS}
    for number in range(bench.rounds(3)):
        alone: _LegacyRun | None = None
        for workers in _LEGACY_WORKERS:
            run = _LegacyRun.made(directory, workers)
            alone = alone or run
            if run.outcomes != alone.outcomes:
                raise RuntimeError(f"other outcomes with {workers} workers: {run.outcomes}")
            walls[workers].append(run.wall_s)
            bounds[workers].append(run.bound_s(alone, workers))
            bench.say(f"round {number + 1}: {workers} workers: {run.wall_s:.1f} s, bound "
                      f"{bounds[workers][-1]:.1f} s")  # fmt: skip
    for workers in _LEGACY_WORKERS:
        what = f"60 tests with fixed ports and names, {workers} isolated workers"
        note = "the bound: longest test, processor time over cores, time of one worker over workers"
        yield cost(_NAME, what, walls[workers], "the bound", bounds[workers],
                   at_most=1.15, note=note)  # fmt: skip


@dataclass(frozen=True)
class _LegacyRun:
    """One run of the suite: its wall time, processor time, durations and outcomes of the tests."""

    wall_s: float
    used_s: float
    durations_s: dict[str, float]
    outcomes: dict[str, str]

    @classmethod
    def made(cls, directory: Path, workers: int) -> _LegacyRun:
        """Run it."""
        report = directory / "report.xml"
        options = ("-q", "-p", "no:randomly", f"--junitxml={report}", "-n", str(workers))
        pytest = (sys.executable, "-m", "pytest", *options)
        command = (*_COMMAND, "isolate", "--image", _LEGACY_IMAGE, "--", *pytest)
        began = time.monotonic()
        subprocess.run(command, cwd=directory, check=False, capture_output=True)
        wall_s = time.monotonic() - began
        cases = list(ElementTree.parse(report).iter("testcase"))
        names = {each: f"{each.get('classname')}::{each.get('name')}" for each in cases}
        notes = cache_directory(os.environ) / "isolated-runs" / f"{project_hash(directory)}.jsonl"
        busy = Notes.read(notes).busy
        return cls(
            wall_s,
            busy.used_s if busy else 0.0,
            {names[each]: float(each.get("time") or 0) for each in cases},
            {names[each]: ",".join(part.tag for part in each) for each in cases},
        )

    def bound_s(self, alone: _LegacyRun, workers: int) -> float:
        """Return a wall time that no distribution of the tests can beat."""
        return max(
            max(self.durations_s.values()),
            self.used_s / len(os.sched_getaffinity(0)),
            sum(alone.durations_s.values()) / workers,
        )
