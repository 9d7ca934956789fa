"""``dockwright runs compare`` and the other commands that read several recorded runs together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cli.options import json_option, root_option
from dockwright.cli.output import Row, note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.history import (
    Comparison,
    Limits,
    Measure,
    Regressions,
    Search,
    compare,
    regressions,
    regressions_against,
)
from dockwright.model import Json
from dockwright.recording import RunStore, StoredRun, store_of
from dockwright.report import comparison as words

_REGRESSED = 1

_fail_option = click.option(
    "--fail", is_flag=True, help="Exit with 1 if something is certainly slower."
)
_markdown_option = click.option(
    "--markdown", is_flag=True, help="Print Markdown, short enough for a comment on GitHub."
)
_least_option = click.option(
    "--min-change",
    type=click.FloatRange(min=0, max=1000),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="The smallest change to show; in addition, it must be at least 50 ms.",
)


def store_of_project(root: Path) -> RunStore:
    """Return the store of the runs of the project that pytest finds from `root`."""
    return store_of(project_settings(root, ""), os.environ)


@click.command("compare")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@_least_option
@_fail_option
@_markdown_option
@root_option
@json_option
@click.pass_context
def compare_command(
    ctx: click.Context,
    before: str,
    after: str,
    min_change: float,
    fail: bool,
    markdown: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Show what changed from run A to run B, the most expensive first.

    A and B are runs, revisions, branches or `last`. A run or revision may be shortened. A branch or
    a revision stands for its three newest runs.

    A change is shown if it is larger than the noise: how much earlier runs differ from each other.
    """
    result = compare(store_of_project(root), before, after, Limits(ratio=min_change / 100))
    if as_json:
        print_json(_comparison(result))
    elif markdown:
        click.echo(words.comparison_markdown(result), nl=False)
    else:
        _print(words.CHANGE_COLUMNS, words.change_rows(result.changes), "no change")
        note(words.sides(result))
        _notes(words.comparison_remarks(result))
    ctx.exit(_REGRESSED if fail and result.slower else 0)


@click.command("regressions")
@click.option(
    "--base",
    metavar="BRANCH",
    default="",
    help="Compare the last run with this branch instead of its own branch's history.",
)
@click.option(
    "--runs",
    "window",
    type=click.IntRange(min=8),
    default=60,
    show_default=True,
    help="How many of the latest runs to search.",
)
@_least_option
@_fail_option
@_markdown_option
@root_option
@json_option
@click.pass_context
def regressions_command(
    ctx: click.Context,
    base: str,
    window: int,
    min_change: float,
    fail: bool,
    markdown: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Show what became slower and stayed slower, since when, and why.

    Searches the history of each test and stack on the last run's branch and machine. At most 5 % of
    the findings are expected to be chance. It takes at least 8 runs, 3 of them after the change.

    With --base, the latest runs of the last run's branch are compared with that branch, as
    `dockwright runs compare` does.
    """
    store, limits = store_of_project(root), Limits(ratio=min_change / 100)
    if base and (against := regressions_against(store, base, limits)) is not None:
        ctx.exit(_print_against(against, as_json=as_json, markdown=markdown, fail=fail))
    result = regressions(store, Search(base, window, limits))
    if as_json:
        print_json(_regressions(result))
    elif markdown:
        click.echo(words.regressions_markdown(result), nl=False)
    else:
        _print(words.REGRESSION_COLUMNS, words.regression_rows(result.found), "no regression")
        note(f"searched {counted(len(result.runs), 'run')}, {counted(result.tested, 'measure')}")
        _notes(words.regression_remarks(result))
    ctx.exit(_REGRESSED if fail and result.found else 0)


COMMANDS: Sequence[click.Command] = (compare_command, regressions_command)
"""Those of the group ``dockwright runs`` that are defined here."""


def _print_against(result: Comparison, *, as_json: bool, markdown: bool, fail: bool) -> int:
    """Print a comparison with another branch that has only what became slower."""
    if as_json:
        print_json(_comparison(result))
    elif markdown:
        click.echo(words.comparison_markdown(result), nl=False)
    else:
        _print(words.CHANGE_COLUMNS, words.change_rows(result.changes), "no regression")
        note(words.sides(result))
        _notes(words.comparison_remarks(result))
    return _REGRESSED if fail and result.slower else 0


def _print(columns: Row, rows: Sequence[Row], nothing: str) -> None:
    if rows:
        print_table([name.upper() for name in columns], rows)
    else:
        note(nothing)


def _notes(lines: Sequence[str]) -> None:
    for line in lines:
        note(line)


def _comparison(result: Comparison) -> dict[str, Json]:
    return {
        "before": [run.id for run in result.before],
        "after": [run.id for run in result.after],
        "changes": [
            {**_measured(each.measure, each.before, each.after), "q": each.q, "part": each.part}
            for each in result.changes
        ],
        "within_noise": result.noise,
        "history_runs": result.history,
        "machine_ratio": result.machine,
        "added": list(result.added),
        "gone": list(result.gone),
    }


def _regressions(result: Regressions) -> dict[str, Json]:
    machine = result.machine
    return {
        "runs": len(result.runs),
        "tested": result.tested,
        "regressions": [
            {
                **_measured(each.measure, each.before, each.after),
                **_since(each.run, each.runs_after),
                "q": each.q,
                "part": each.part,
            }
            for each in result.found
        ],
        "machine": None
        if machine is None
        else {
            "ratio": machine.ratio,
            **_since(machine.run, machine.runs_after),
            "p": machine.p,
        },
    }


def _measured(measure: Measure, before: float, after: float) -> dict[str, Json]:
    unit = "bytes" if measure.in_bytes else "s"
    return {**asdict(measure), "unit": unit, "before": before, "after": after}


def _since(run: StoredRun, runs_after: int) -> dict[str, Json]:
    return {"since": run.id, "revision": run.revision, "runs_after": runs_after}
