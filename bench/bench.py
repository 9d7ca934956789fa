"""What every measure is given: the engine, the rivals' tools, a directory, and how much to do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench import tools
from bench.shop import build_shop_image
from dockwright.engine import Engine

LABEL = "dockwright-bench"
"""Everything that a run makes bears it, with the run's id as its value."""

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "bench"
SHOP = ROOT / "examples" / "shop"


class SkippedError(Exception):
    """Something is missing that a part of a measure needs; the text says what, as a sentence."""


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks.

    Attributes:
        engine: where the stacks run.
        run: the run's id.
        directory: for what the run writes; removed at its end.
        quick: as few rounds as tell whether everything works.
        full: nothing is extrapolated, however long it takes.
    """

    engine: Engine
    run: str
    directory: Path
    quick: bool = False
    full: bool = False
    skipped: list[str] = field(default_factory=list)

    def rounds(self, usual: int, quick: int = 1) -> int:
        """Return how many rounds to make."""
        return quick if self.quick else usual

    def say(self, text: str) -> None:
        """Tell what happens now, on standard error."""
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def skip(self, text: str) -> None:
        """Note that something is left out, and why."""
        self.skipped.append(text)
        self.say(f"skipped: {text}")

    @cached_property
    def compose(self) -> tuple[str, ...]:
        """The command of Docker Compose v2; empty: there is none."""
        return tools.compose_command(ROOT)

    @cached_property
    def rival_python(self) -> Path:
        """The interpreter of the environment that the rivals are installed in."""
        return tools.ensure_environment(ROOT / ".cache" / "bench" / "rivals", self.say)

    @cached_property
    def web_image(self) -> str:
        """The example's own image, built if it is not there."""
        return build_shop_image(self.engine, SHOP / "compose.yaml")

    @property
    def variables(self) -> dict[str, str]:
        """What the Compose files of the benchmarks interpolate."""
        return {"BENCH_RUN": self.run, "BENCH_WEB_IMAGE": self.web_image}


def alternately(
    bench: Bench, rounds: int, contenders: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Run contenders in turn, A B C A B C, so that a change of the machine's load meets them all.

    Args:
        bench: told what happens.
        rounds: how often each runs.
        contenders: each runs once and returns its time in seconds.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, run in contenders.items():
            settle()
            samples[name].append(run())
            bench.say(f"round {number} of {rounds}: {name}: {samples[name][-1]:.3f} s")
    return samples


def settle() -> None:
    """Let the disk come to rest: what one contender leaves to be written is not another's time."""
    os.sync()


def timed(action: Callable[[], object]) -> float:
    """Return how long an action took, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
