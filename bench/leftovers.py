"""Removes what a broken-off run left on the engine, by the run's own label."""

from __future__ import annotations

from functools import partial

from bench.bench import LABEL, Bench
from dockwright.engine import parallel


def remove_leftovers(bench: Bench) -> None:
    """Remove whatever bears this run's label; after a run that ended well there is nothing."""
    engine, mine = bench.engine, {LABEL: bench.run}
    parallel.run(
        [partial(engine.remove_container, each["Id"]) for each in engine.list_containers(mine)]
    )
    parallel.run(
        [
            *(partial(engine.remove_network, each["Id"]) for each in engine.list_networks(mine)),
            *(partial(engine.remove_volume, each["Name"]) for each in engine.list_volumes(mine)),
        ]
    )
