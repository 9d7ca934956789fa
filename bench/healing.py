"""What it costs to check a stack that tests have shared: the example's three services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.bench import HERE, SHOP, Bench, timed
from bench.results import Row, percentile, value
from bench.shop import load_stack, new_stack
from dockwright.stack import Baseline, Stack

_NAME = "healing"
_FILES = (SHOP / "compose.yaml", HERE / "stack.yaml")
_MOST_MS = 3.0
_WRITE = ["psql", "-q", "-U", "shop", "-d", "shop", "-c", "CREATE SEQUENCE IF NOT EXISTS x"]
_ADVANCE = [*_WRITE[:-1], "SELECT nextval('x')"]


def measure(bench: Bench) -> Iterator[Row]:
    """Check a stack that nobody changed, again and again; then one that a test changed."""
    spec = load_stack(_FILES, bench.variables)
    stack = new_stack(spec, bench.engine, f"dwbench-{bench.run}-healing", bench.directory)
    try:
        stack.start()
        stack.exec("db", _WRITE)
        baseline = Baseline(stack, Path(bench.directory) / "healing")
        try:
            baseline.capture()
            yield from _rows(bench, stack, baseline)
        finally:
            baseline.close()
    finally:
        stack.remove()


def _rows(bench: Bench, stack: Stack, baseline: Baseline) -> Iterator[Row]:
    rounds = bench.rounds(300, quick=20)
    bench.say(f"{rounds} checks of a stack of {len(stack.containers)} services")
    baseline.heal()
    untouched_ms = [1000 * timed(baseline.heal) for _ in range(rounds)]
    what = "check of a shared stack that nobody changed"
    yield percentile(_NAME, what, "ms", untouched_ms, percent=50)
    yield percentile(_NAME, what, "ms", untouched_ms, percent=95, at_most=_MOST_MS)
    changed_ms = []
    for _ in range(bench.rounds(20, quick=3)):
        stack.exec("db", _ADVANCE)
        changed_ms.append(1000 * timed(baseline.heal))
    yield value(_NAME, "the same after a test advanced a sequence", "ms", changed_ms)
