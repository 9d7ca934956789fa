"""Removal of a stack whose processes ignore SIGTERM: against bare calls, and against Compose."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

from bench.bench import HERE, Bench, alternately, timed
from bench.composed import composed
from bench.results import Row, cost, speedup
from bench.shop import load_stack, new_stack
from dockwright.engine import parallel
from dockwright.model import StackSpec
from dockwright.stack import Stack

FILES = (HERE / "stubborn.yaml",)
_NAME = "teardown"
_WHAT = "removal of 3 services that ignore SIGTERM"


def measure(bench: Bench) -> Iterator[Row]:
    """Remove the stack in every way, alternately."""
    spec = load_stack(FILES, bench.variables)
    names = (f"dwbench-{bench.run}-stubborn-{number}" for number in itertools.count(1))

    def dockwright() -> float:
        with _Started(bench, spec, next(names)) as stack:
            return timed(stack.remove)

    def bare() -> float:
        with _Started(bench, spec, next(names)) as stack:
            return timed(_bare_removal(stack))

    contenders = {"dockwright": dockwright, "bare API calls": bare}
    samples = alternately(bench, bench.rounds(9, quick=2), contenders)
    yield cost(
        _NAME,
        _WHAT,
        samples["dockwright"],
        "bare API calls",
        samples["bare API calls"],
        at_most=1.2,
    )
    if not bench.compose:
        bench.skip("teardown against `docker compose down`: there is no Docker Compose v2 here")
        return
    compose = alternately(bench, bench.rounds(2), {"docker compose": lambda: _compose_down(bench)})
    yield speedup(
        _NAME, _WHAT, samples["dockwright"], "docker compose down", compose["docker compose"]
    )


class _Started:
    """A running copy, removed at the end whatever happens."""

    def __init__(self, bench: Bench, spec: StackSpec, project: str) -> None:
        self._stack = new_stack(spec, bench.engine, project, bench.directory)

    def __enter__(self) -> Stack:
        try:
            self._stack.start()
        except BaseException:
            self._stack.remove()
            raise
        return self._stack

    def __exit__(self, *_: object) -> None:
        self._stack.remove()


def _bare_removal(stack: Stack) -> partial[None]:
    """Return what removes a stack by nothing but the calls that it takes, in parallel."""
    engine, labels = stack.engine, stack.identity.labels()
    containers = [each["Id"] for each in engine.list_containers(labels)]
    networks = [each["Id"] for each in engine.list_networks(labels)]
    volumes = [each["Name"] for each in engine.list_volumes(labels)]

    def remove() -> None:
        parallel.run([partial(engine.remove_container, each) for each in containers])
        parallel.run(
            [
                *(partial(engine.remove_network, each) for each in networks),
                *(partial(engine.remove_volume, each) for each in volumes),
            ]
        )

    return partial(remove)


def _compose_down(bench: Bench) -> float:
    with composed(bench, FILES) as compose:
        compose("up", "--detach")
        return timed(lambda: compose("down", "--volumes"))
