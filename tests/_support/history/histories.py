"""Histories of many tests: recorded runs of the shop, and simulated ones with their noise."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from dockwright.history.measures import Measure
from dockwright.history.series import Series
from dockwright.history.statistics import scale
from dockwright.recording import StoredRun

_SHOP = Path(__file__).with_name("shop.json")
"""What 38 runs of examples/shop measured, one after the other, on a machine that was busy with
other work: from run to run everything takes up to six times as long."""


def run_numbered(number: int, branch: str = "main") -> StoredRun:
    return StoredRun(
        f"r{number:05}", 1.8e9 + 600 * number, 60.0, 0, f"{number:040x}", branch, False, 1, 0, 1
    )


def series_of(values: Mapping[Measure, Mapping[int, float]], runs: int) -> Series:
    return Series.of([run_numbered(number) for number in range(runs)], values)


@cache
def shop() -> Series:
    """The recorded runs of the shop."""
    rows: list[Any] = json.loads(_SHOP.read_text())
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
def noise() -> Sequence[float]:
    """The deviations of the shop's tests from their medians, in units of each test's spread."""
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
        return number < self.slower and at >= self.runs - self.after

    def planted_names(self) -> set[str]:
        return {f"test_it.py::test_{number}" for number in range(self.slower)}
