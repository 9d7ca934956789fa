"""Samples: ``make test`` runs a part of the long tests, drawn by a seed; ``make soak`` runs all.

A test marked ``soak`` is one of them, and so is each of its parameters. ``soak(sample=2)``: of the
parametrized tests of one function (in one module), two are drawn.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

import pytest

FULL = bool(os.environ.get("DOCKWRIGHT_SOAK"))
SEED_VARIABLE = "DOCKWRIGHT_BATTERY_SEED"
# xdist's workers inherit it, so that all of them collect the same tests.
SEED = int(os.environ.setdefault(SEED_VARIABLE, str(random.SystemRandom().randrange(1_000_000))))


def drawn(name: str) -> random.Random:
    """Return dice that throw the same for the same name and seed."""
    return random.Random(f"{SEED} {name}")


def pytest_report_header() -> str:
    """Print the seed."""
    return f"long tests: {SEED_VARIABLE}={SEED} repeats this run's sample"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make soak` runs, unless the command line names the test."""
    if FULL:
        return
    named = [argument for argument in config.args if "::" in argument]
    left = {
        item
        for item in _left_out(items)
        if not any(item.nodeid.startswith(argument) for argument in named)
    }
    if left:
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=list(left))


def _left_out(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    functions: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=lambda each: each.nodeid):  # they may be shuffled
        if item.get_closest_marker("soak"):
            functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, tests in functions.items():
        mark = tests[0].get_closest_marker("soak")
        count = mark.kwargs.get("sample", 0) if mark else 0
        keep = drawn(name).sample(range(len(tests)), min(count, len(tests)))
        yield from (item for number, item in enumerate(tests) if number not in keep)
