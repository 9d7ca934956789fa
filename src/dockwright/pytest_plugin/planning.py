"""What a pytest process plans with: costs, resources, and the needs of its tests."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from dockwright.errors import DockwrightError
from dockwright.pytest_plugin.run import RUN
from dockwright.schedule import (
    DURATIONS,
    Costs,
    CostsFile,
    Resources,
    Test,
    exclusive_leases,
    read_costs,
    resources_of,
)
from dockwright.settings import Settings

NEEDS_FILE = "dockwright_needs"
"""The name in xdist's ``workerinput`` of the file that takes the needs of the tests."""


def costs_file(settings: Settings) -> CostsFile | None:
    """Return the costs that do not depend on this machine; None: there is no file.

    Raises:
        UsageError: the file cannot be read.
    """
    durations = settings.root / DURATIONS
    if settings.costs is not None:
        return read_costs(settings.costs)
    return read_costs(durations) if durations.is_file() else None


def expected_costs(settings: Settings) -> Costs:
    """Return the costs from a file that the settings name, else from recorded runs.

    Raises:
        UsageError: a file with costs cannot be read.
    """
    if settings.costs is None:
        from dockwright.recording import recorded_costs, store_of, this_machine

        try:
            recorded = recorded_costs(store_of(settings, os.environ), this_machine())
        except DockwrightError:  # the end of the run says what is wrong with the store
            recorded = Costs()
        if recorded.runs:
            return recorded
    found = costs_file(settings)
    return found.costs if found else Costs()


def available(settings: Settings, costs: Costs, tests: Sequence[Test], workers: int) -> Resources:
    """Return what the tests of a run can use."""
    limit = settings.max_stacks or (os.cpu_count() or 2) + 2  # as `pool.sizing` does
    return resources_of(
        costs,
        exclusive_leases(tests),
        workers,
        limit=limit,
        memory_bytes=settings.max_memory,
    )


def keeps_order(config: pytest.Config) -> bool:
    """Return whether the user has asked for an order of the tests.

    That is: pytest-randomly with a given seed, or switched off; pytest-order; ``--stepwise``,
    ``--failed-first`` or ``--new-first``.
    """
    options = ("failedfirst", "newfirst", "stepwise")
    if any(config.getoption(name, default=False) for name in options):
        return True
    words = config.invocation_params.args
    asked = any(str(word).endswith("no:randomly") for word in words)
    seed = getattr(config.known_args_namespace, "randomly_seed", "default")
    given = seed != "default" and bool(getattr(config.option, "randomly_reorganize", False))
    ordering = any(config.pluginmanager.hasplugin(name) for name in ("pytest_order", "order"))
    return asked or given or ordering


def forecast(config: pytest.Config, costs: Costs, wall_s: float) -> None:
    """Note how long the run will take, if recorded runs say so; the end of the run shows it.

    Args:
        config: of the main process.
        costs: that were planned with.
        wall_s: of the plan.
    """
    run = config.stash[RUN]
    if costs.runs:
        run.predicted_s = run.elapsed_s + wall_s + costs.fixtures_s + costs.closing_s
