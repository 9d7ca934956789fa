"""What it costs to check a stack that tests have shared: the example's three services."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from bench.bench import HERE, SHOP, Bench, alternately, timed
from bench.results import Row, cost, percentile, value
from bench.shop import load_stack, new_stack
from dockwright.model import Requirement, StackSpec
from dockwright.pool import Factory, FactoryOptions, Pool
from dockwright.pool.timeline import PoolTimeline
from dockwright.settings import Settings
from dockwright.stack import Baseline, Stack

_NAME = "healing"
_FILES = (SHOP / "compose.yaml", HERE / "stack.yaml")
_MOST_MS = 3.0
_MOST_OF_THE_WALL = 1.01
_WRITE = ["psql", "-q", "-U", "shop", "-d", "shop", "-c", "CREATE SEQUENCE IF NOT EXISTS x"]
_ADVANCE = [*_WRITE[:-1], "SELECT nextval('x')"]
_BODY_S = 0.05
_READERS, _READERS_EACH = 100, 10
_LEASE_S = 60.0


def measure(bench: Bench) -> Iterator[Row]:
    """Check a stack that nobody changed, again and again; a changed one; and within a suite."""
    spec = load_stack(_FILES, bench.variables)
    stack = new_stack(spec, bench.engine, f"dwbench-{bench.run}-healing", bench.directory)
    try:
        stack.start()
        stack.exec("db", _WRITE)
        baseline = Baseline(stack, Path(bench.directory) / "healing")
        try:
            baseline.capture()
            yield from _checks(bench, stack, baseline)
        finally:
            baseline.close()
    finally:
        stack.remove()
    yield from _suites(bench, spec)


def _checks(bench: Bench, stack: Stack, baseline: Baseline) -> Iterator[Row]:
    rounds = bench.rounds(300, quick=20)
    bench.say(f"{rounds} checks of a stack of {len(stack.containers)} services")
    for _ in range(3):
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


def _suites(bench: Bench, spec: StackSpec) -> Iterator[Row]:
    """Run tests that share a stack, with one that does not after each ten of them."""
    with _pool(bench, spec) as run:
        run()
        walls = alternately(
            bench, bench.rounds(5), {"with checks": run, "without": _unchecked(run)}
        )
    yield cost(
        _NAME,
        f"{_READERS} tests of {_BODY_S * 1000:.0f} ms that share a stack, with a stateful one after"
        f" each {_READERS_EACH}",
        walls["with checks"],
        "without any check",
        walls["without"],
        at_most=_MOST_OF_THE_WALL,
    )


def _unchecked(run: Callable[[], float]) -> Callable[[], float]:
    def unchecked() -> float:
        with patch.object(Baseline, "heal", return_value=[]):
            return run()

    return unchecked


@contextmanager
def _pool(bench: Bench, spec: StackSpec) -> Iterator[Callable[[], float]]:
    """Yield what runs the tests on one copy and returns their wall time."""
    options = FactoryOptions(
        session=f"dwbench-{bench.run}",
        project="bench",
        version="0",
        directory=Path(bench.directory) / "healing-pool",
        settings=Settings(bench.directory),
    )
    pool = Pool(bench.engine, max_stacks=1, timeline=PoolTimeline())
    try:
        pool.declare("shop", Factory("shop", spec, bench.engine, options))
        yield lambda: timed(lambda: _run(pool))
    finally:
        pool.close()


def _run(pool: Pool) -> None:
    for number in range(1, _READERS + 1):
        _test(pool, f"{number} reads", exclusive=False)
        if number % _READERS_EACH == 0:
            _test(pool, f"{number} writes", exclusive=True)


def _test(pool: Pool, holder: str, *, exclusive: bool) -> None:
    requirement = Requirement("shop", exclusive, "function", holder)
    lease = pool.acquire(requirement, timeout_s=_LEASE_S)
    time.sleep(_BODY_S)
    pool.release(lease)
