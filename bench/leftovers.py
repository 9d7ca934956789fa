"""Removes what a broken-off run left on the engine, by the run's own label."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.bench import LABEL, Bench
from dockwright.cache.frozen import FROZEN_LABEL, STORE_LABEL
from dockwright.engine import parallel
from dockwright.errors import EngineError


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
    for volume in engine.list_volumes({FROZEN_LABEL: None}):
        if Path(volume["Labels"][STORE_LABEL]).is_relative_to(bench.directory):
            with suppress(EngineError):  # a copy that the reaper will remove uses it
                engine.remove_volume(volume["Name"])
