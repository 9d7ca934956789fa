"""Start until ready of the example's stack: against Docker Compose, and against the floor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from bench.bench import HERE, LABEL, SHOP, Bench, alternately, timed
from bench.composed import composed
from bench.floor import Floor
from bench.results import Row, cost, speedup
from bench.shop import load_stack, new_stack
from dockwright.cache import BaselineStore
from dockwright.stack import CachedStart

FILES = (SHOP / "compose.yaml", HERE / "stack.yaml")
_NAME = "start"
_WHAT = "start until ready"
_KEPT = "start until ready, cached baseline"


def measure(bench: Bench) -> Iterator[Row]:
    """Start the stack in every way, alternately."""
    names = (f"{bench.run}-{number}" for number in itertools.count(1))
    spec = load_stack(FILES, bench.variables)
    store = BaselineStore(bench.directory / "baselines")

    def dockwright(cache: BaselineStore | None) -> float:
        stack = new_stack(spec, bench.engine, f"dwbench-{next(names)}", bench.directory)
        start = CachedStart(stack, cache)
        try:
            seconds = timed(start.run)
            start.read()
            start.keep(wanted=lambda: True)
        finally:
            stack.remove()
        if cache is not None and not start.from_cache:
            bench.say("made the baseline that the next starts begin with")
        return seconds

    def floor() -> float:
        labels = {LABEL: bench.run}
        copy = Floor(bench.engine, f"dwbench-{next(names)}", labels, bench.web_image, SHOP)
        try:
            return timed(copy.start)
        finally:
            copy.remove()

    # The first of each kind pays for what later ones find in the machine's memory.
    dockwright(store)
    floor()
    contenders: dict[str, Callable[[], float]] = {
        "dockwright": lambda: dockwright(None),
        "floor": floor,
        "dockwright, cached baseline": lambda: dockwright(store),
    }
    if bench.compose:
        contenders["docker compose"] = lambda: _compose_up(bench)
    else:
        bench.skip("start against `docker compose up`: there is no Docker Compose v2 here")
    samples = alternately(bench, bench.rounds(3), contenders)
    yield from _rows(samples)


def _rows(samples: dict[str, list[float]]) -> Iterator[Row]:
    plain, kept = samples["dockwright"], samples["dockwright, cached baseline"]
    if compose := samples.get("docker compose"):
        rival = "docker compose up --wait"
        yield speedup(_NAME, _WHAT, plain, rival, compose, at_least=3.0)
        yield speedup(_NAME, _KEPT, kept, rival, compose)
    yield cost(_NAME, _WHAT, plain, "bare API calls", samples["floor"], at_most=1.25)
    yield cost(_NAME, _KEPT, kept, "bare API calls", samples["floor"])


def _compose_up(bench: Bench) -> float:
    with composed(bench, FILES) as compose:
        return timed(lambda: compose("up", "--detach", "--wait"))
