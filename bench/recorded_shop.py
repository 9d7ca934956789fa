"""The fixed set of recorded runs of examples/shop, and simulated suites with its noise.

`python -m bench.recorded_shop` records the set anew: the suite's runs, one after the other, without
a change between them. What differs between them is noise. The set is part of the repository, so
that everybody who measures detection of changes measures it with the same noise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from bench.bench import SHOP
from bench.plugin_cost import clean_environment
from bench.processes import run
from dockwright.history.measures import Measure, measures_of
from dockwright.history.series import Series
from dockwright.history.statistics import scale
from dockwright.paths import project_hash, runs_file
from dockwright.recording import RunStore, StoredRun, this_machine

FILE = Path(__file__).with_suffix(".json")
_RUN_TIMEOUT_S = 300.0


def main() -> None:
    """Record the set."""
    parser = argparse.ArgumentParser(description="Record runs of examples/shop as the fixed set.")
    parser.add_argument("--runs", type=int, default=40, help="how many (default: 40)")
    parser.add_argument("--output", type=Path, default=FILE, help=f"(default: {FILE.name})")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    with tempfile.TemporaryDirectory(prefix="dockwright-bench-") as name:
        loads, directory = [], Path(name)
        environ = clean_environment(DOCKWRIGHT_CACHE_DIR=str(directory / "cache"))
        argv = [sys.executable, "-m", "pytest", "-q", "--dockwright-record=on", str(SHOP)]
        for number in range(given.runs + 1):  # the first one makes baselines, and is left out
            loads.append(os.getloadavg()[0])
            cost = run(argv, directory=directory, environment=environ, timeout_s=_RUN_TIMEOUT_S)
            print(f"run {number} of {given.runs}: {cost.wall_s:.1f} s, load {loads[-1]:.1f}")
        store = RunStore(runs_file(environ, project_hash(SHOP)))
        given.output.write_text(_document(store, loads[1:]))


def _document(store: RunStore, loads: Sequence[float]) -> str:
    """Return the newest runs, as many as there are loads, as JSON with a line for each measure."""
    records = [store.load(each.id, without=("samples",)) for each in store.runs(len(loads))][::-1]
    values: dict[Measure, list[float | None]] = {}
    for at, record in enumerate(records):
        for measure, value in measures_of(record).items():
            row = values.setdefault(measure, [None] * len(records))
            row[at] = round(value / 1000 if measure.in_bytes else value, 4)
    machine = this_machine()
    about = {
        "recorded": time.strftime("%Y-%m-%d"),
        "machine": f"{machine.cpu}, {machine.cores} cores",
        "load": f"{min(loads):.1f} to {max(loads):.1f}, median {statistics.median(loads):.1f}",
    }
    rows = [[measure.kind, measure.name, row] for measure, row in sorted(values.items())]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f'{{"about": {json.dumps(about)},\n"measures": [\n{lines}\n]}}\n'


def about() -> Mapping[str, str]:
    """Return when and where the set was recorded, and how busy the machine was."""
    found: Mapping[str, str] = json.loads(FILE.read_text())["about"]
    return found


def run_numbered(number: int, branch: str = "main") -> StoredRun:
    """Return a made-up run."""
    return StoredRun(
        id=f"r{number:05}",
        began_s=1.8e9 + 600 * number,
        wall_s=60.0,
        exit_code=0,
        revision=f"{number:040x}",
        branch=branch,
        dirty=False,
        tests=1,
        failed=0,
        stored_bytes=1,
    )


def series_of(values: Mapping[Measure, Mapping[int, float]], runs: int) -> Series:
    """Return a series of made-up runs."""
    return Series.of([run_numbered(number) for number in range(runs)], values)


@cache
def shop() -> Series:
    """Return the recorded runs of the shop."""
    rows: list[Any] = json.loads(FILE.read_text())["measures"]
    values = {
        Measure(kind, name): {
            at: value * (1000.0 if kind == "memory" else 1.0)
            for at, value in enumerate(row)
            if value is not None
        }
        for kind, name, row in rows
    }
    return series_of(values, len(rows[0][2]))


@cache
def spread() -> float:
    """Return how much the set's median test varies: its robust standard deviation, as a part.

    Tests below 50 ms are left out: changes of them are too small to matter.
    """
    series = shop()
    tests = [each for each in series.values if each.kind == "test"]
    return median(
        scale([value for _, value in series.corrected(each)])
        for each in tests
        if median(series.values[each].values()) >= 0.05
    )


@cache
def noise() -> Sequence[float]:
    """Return the deviations of the shop's tests from their medians, in spreads of the test."""
    series, found = shop(), []
    for measure in series.values:
        values = [value for _, value in series.corrected(measure)]
        if measure.kind == "test" and (spread := scale(values)) > 0:
            middle = median(values)
            found += [(value - middle) / spread for value in values]
    return found


@dataclass(frozen=True)
class Simulation:
    """A suite whose tests vary as those of the shop do.

    Attributes:
        seed: of the dice.
        spread: of the tests: the median test varies by as much.
        tests: how many there are.
        runs: how many runs.
        slower: how many tests become slower.
        ratio: by how much.
        after: in how many of the last runs.
        machine: by how much the last runs are slower in everything.
    """

    seed: int = 1
    spread: float = 0.03
    tests: int = 1000
    runs: int = 30
    slower: int = 0
    ratio: float = 0.2
    after: int = 5
    machine: float = 0.0

    def series(self) -> Series:
        """Return what the runs measured."""
        dice = random.Random(self.seed)
        machine = [dice.gauss(0.0, 0.05) for _ in range(self.runs)]
        for at in range(self.runs - self.after, self.runs):
            machine[at] += math.log1p(self.machine)
        values = {
            Measure("test", f"test_it.py::test_{number}"): self._values(number, machine, dice)
            for number in range(self.tests)
        }
        return series_of(values, self.runs)

    def _values(
        self, number: int, machine: Sequence[float], dice: random.Random
    ) -> dict[int, float]:
        usual = dice.uniform(math.log(0.3), math.log(10.0))
        spread = self.spread * math.exp(dice.gauss(0.0, 0.3))
        found = {}
        for at, factor in enumerate(machine):
            change = math.log1p(self.ratio) if self.planted(number, at) else 0.0
            found[at] = math.exp(usual + factor + change + spread * dice.choice(noise()))
        return found

    def planted(self, number: int, at: int) -> bool:
        """Return whether a test is slower in a run."""
        return number < self.slower and at >= self.runs - self.after

    def planted_names(self) -> set[str]:
        """Return the names of the slower tests."""
        return {f"test_it.py::test_{number}" for number in range(self.slower)}


if __name__ == "__main__":
    main()
