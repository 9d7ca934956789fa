"""Orders the collected tests, and selects those of a shard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dockwright.pytest_plugin.needs import tests_of, to_plain
from dockwright.pytest_plugin.planning import (
    NEEDS_FILE,
    available,
    costs_file,
    expected_costs,
    forecast,
    keeps_order,
)
from dockwright.pytest_plugin.run import RUN, surviving, usage_errors
from dockwright.schedule import Costs, Test, blocks_of, in_order, plan, shards_of, simulated

_WORTH_S = 0.05
_WORTH_PART = 0.01
"""Tests keep their order unless another one saves that many seconds and that part of the time."""


def arrange(config: pytest.Config, items: list[pytest.Item], left: Sequence[pytest.Item]) -> None:
    """Select and order the tests, in the process that collected them.

    Args:
        config: of this process.
        items: the tests.
        left: those that have to run; if their order changes, the others come first.
    """
    with surviving(config, "select the tests of a shard"), usage_errors():
        _select_shard(config, items)
    with surviving(config, "order the tests"), usage_errors():
        if config.stash[RUN].settings.schedule == "auto":
            _order(config, items, left)


def shard_line(config: pytest.Config) -> str | None:
    """Say which part of the suite runs, and by which costs it was selected."""
    settings = config.stash[RUN].settings
    if settings.shard is None:
        return None
    number, count = settings.shard
    found = costs_file(settings)
    by = f"costs in {found.file.name} ({found.digest})" if found else "hash, without costs"
    return f"dockwright: shard {number} of {count}, by {by}"


def _select_shard(config: pytest.Config, items: list[pytest.Item]) -> None:
    settings = config.stash[RUN].settings
    if settings.shard is None:
        return
    number, count = settings.shard
    found = costs_file(settings)
    costs = found.costs if found else None
    tests = tests_of(items, costs or Costs())
    chosen = {id(test) for test in shards_of(tests, count, costs)[number - 1]}
    pairs = list(zip(items, tests, strict=True))
    others = [item for item, test in pairs if id(test) not in chosen]
    items[:] = [item for item, test in pairs if id(test) in chosen]
    if others:
        config.hook.pytest_deselected(items=others)


def _order(config: pytest.Config, items: list[pytest.Item], left: Sequence[pytest.Item]) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        _write_needs(worker, items)
        return
    chosen = {*items}
    left = [item for item in left if item in chosen]
    tests = tests_of(left, Costs())
    item_of = {test.name: item for test, item in zip(tests, left, strict=True)}
    if len(item_of) < len(left):
        return  # a test was collected twice
    found = _planned(config, left) if any(test.stack for test in tests) else in_order(tests)
    ordered = [item_of[test.name] for test in found]
    if ordered != left:
        others = chosen.difference(left)
        items[:] = [*(item for item in items if item in others), *ordered]


def _planned(config: pytest.Config, items: Sequence[pytest.Item]) -> Sequence[Test]:
    """Return the tests in an order in which they wait less for stacks, if there is one."""
    settings = config.stash[RUN].settings
    costs = expected_costs(settings)
    tests = tests_of(items, costs)
    resources = available(settings, costs, tests, 1)
    blocks = blocks_of(tests)
    best, chosen = simulated(blocks, resources, patient=True), in_order(tests)
    if not keeps_order(config):
        # The first one changes the order least.
        for found in (plan(blocks, resources, keep_order=True), plan(blocks, resources)):
            if best.wall_s - found.wall_s > max(_WORTH_S, _WORTH_PART * best.wall_s):
                best, chosen = found, found.order()
    forecast(config, costs, best.wall_s)
    return chosen


def _write_needs(worker: Mapping[str, Any], items: Sequence[pytest.Item]) -> None:
    """Write the needs of the tests for xdist's main process, which collects none itself.

    All workers collect the same tests: the first one writes.
    """
    if NEEDS_FILE in worker and worker["workerid"] == "gw0":
        with suppress(OSError):  # of a worker on another machine
            Path(worker[NEEDS_FILE]).write_text(json.dumps(to_plain(tests_of(items, Costs()))))
