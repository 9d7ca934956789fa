"""``dockwright plan``: predict how long the suite takes with other workers, shards and engines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cli.options import json_option, root_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.compose.units import parse_bytes
from dockwright.errors import UsageError
from dockwright.recording import recorded_costs, recorded_tests, store_of, this_machine
from dockwright.schedule import Choice, Costs, Forecast, forecast, timeline

_MOST = 10_000


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a text such as ``1,2,4`` or ``1..10`` lists, each once."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dots, last = (each.strip() for each in part.partition(".."))
        last = last if dots else first
        known = first.isdecimal() and last.isdecimal()
        if not known or not 1 <= int(first) <= int(last) <= _MOST:
            raise click.BadParameter(f"{part.strip()!r}: expected numbers such as 1,2,4 or 1..10")
        found.update(dict.fromkeys(range(int(first), int(last) + 1)))
    return tuple(found)


def memory_size(text: str) -> int:
    """Return a size such as ``8g`` in bytes."""
    try:
        return parse_bytes(text)
    except ValueError as failure:
        raise click.BadParameter(f"{text!r}: {failure}") from failure


@click.command(
    epilog="""\b
Examples:
  dockwright plan --workers 1..8              how many workers are worth it
  dockwright plan --workers 4 --shards 1..10  how many CI machines are worth it
  dockwright plan --workers 4 --html plan.html
"""
)
@click.option(
    "--workers",
    type=numbers,
    metavar="NUMBERS",
    default="1,2,4,8",
    show_default=True,
    help="Numbers of xdist workers for each shard: 1,2,4 or 1..10.",
)
@click.option(
    "--shards",
    type=numbers,
    metavar="NUMBERS",
    default="1",
    show_default=True,
    help="Numbers of machines that share the suite.",
)
@click.option(
    "--engines",
    type=numbers,
    metavar="NUMBERS",
    default="1",
    show_default=True,
    help="Numbers of engines that serve each shard.",
)
@click.option(
    "--memory",
    type=memory_size,
    default="0",
    metavar="SIZE",
    help="Memory for the stacks on one engine, such as 8g.  [default: no limit]",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the timeline of a single choice to this file.",
)
@root_option
@json_option
def plan(
    workers: Sequence[int],
    shards: Sequence[int],
    engines: Sequence[int],
    memory: int,
    html: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Predict how long the suite takes, from its recorded runs and without running anything.

    For each choice: the predicted wall time, a lower bound that no order of the tests can beat, how
    long all machines together are busy, and what holds the run back. The predictions use what
    tests and stacks cost in the last runs on this kind of machine.
    """
    choices = [
        Choice(number, parts, places, _limit(root), memory)
        for parts, places, number in product(shards, engines, workers)
    ]
    if html is not None and len(choices) > 1:
        raise UsageError(
            f"--html shows one choice, not {len(choices)}",
            hint="give one number each to --workers, --shards and --engines",
        )
    store = store_of(project_settings(root, ""), os.environ)
    costs = recorded_costs(store, this_machine())
    tests = recorded_tests(store, costs)
    if not tests:
        raise UsageError(
            f"{store.file} has no recorded run of this project",
            hint="run tests that use a stack, or run pytest with --dockwright-record=on",
        )
    found = [forecast(tests, costs, choice) for choice in choices]
    sure = f"{counted(len(tests), 'test')}, by the costs of {counted(costs.runs, 'recorded run')}"
    if html is not None:
        html.write_text(timeline(found[0], title=sure), encoding="utf-8")
        note(f"wrote the timeline to {html}")
    if as_json:
        print_json(_document(found, costs, len(tests)))
    else:
        print_table(
            ("WORKERS", "SHARDS", "ENGINES", "WALL", "BOUND", "MACHINE TIME", "HELD BACK BY"),
            [_row(each) for each in found],
        )
        note(sure)


def _limit(root: Path) -> int:
    settings = project_settings(root, "")
    return settings.max_stacks or (os.cpu_count() or 2) + 2


def _row(found: Forecast) -> tuple[str, ...]:
    choice = found.choice
    return (
        *(str(choice.workers), str(choice.shards), str(choice.engines)),
        *(f"{found.wall_s:.1f} s", f"{found.bound_s:.1f} s", f"{found.machine_s / 60:.1f} min"),
        found.held_back_by,
    )


def _document(found: Sequence[Forecast], costs: Costs, tests: int) -> object:
    return {
        "runs": costs.runs,
        "tests": tests,
        "choices": [
            {
                "workers": each.choice.workers,
                "shards": each.choice.shards,
                "engines": each.choice.engines,
                "wall_s": round(each.wall_s, 3),
                "bound_s": round(each.bound_s, 3),
                "machine_s": round(each.machine_s, 3),
                "held_back_by": each.held_back_by,
            }
            for each in found
        ],
    }
