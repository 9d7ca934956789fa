"""``dockwright runs compare`` and the other commands that read several recorded runs together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cli.options import json_option, root_option, runs_option
from dockwright.cli.output import Row, note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.history import (
    Comparison,
    FlakyTest,
    Measure,
    Regressions,
    Search,
    Thresholds,
    Trend,
    compare,
    flaky_tests,
    growths,
    imported,
    regressions,
    regressions_against,
    revision_by_git,
    trend,
)
from dockwright.history.flaky import FLAKY_RUNS
from dockwright.history.search import SEARCHED_RUNS
from dockwright.history.trends import TREND_RUNS
from dockwright.model import Json
from dockwright.recording import Git, RunStore, StoredRun, store_of, without_secrets
from dockwright.redact import Redactor
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

    A and B are runs, revisions, branches or `last`; last~1 is the run before the last. A run or
    revision may be shortened. A branch or a revision stands for its three newest runs. Names that
    git knows, such as HEAD~1 and tags, are revisions as well.

    A change is shown if it is larger than the noise: how much earlier runs differ from each other.
    """
    limits = Thresholds(ratio=min_change / 100)
    result = compare(store_of_project(root), before, after, limits, revision_by_git(root))
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
@runs_option(8, SEARCHED_RUNS, "to search")
@_least_option
@_fail_option
@_markdown_option
@root_option
@json_option
@click.pass_context
def regressions_command(
    ctx: click.Context,
    base: str,
    most_runs: int,
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
    store, limits = store_of_project(root), Thresholds(ratio=min_change / 100)
    if base and (against := regressions_against(store, base, limits)) is not None:
        ctx.exit(_print_against(against, as_json=as_json, markdown=markdown, fail=fail))
    result = regressions(store, Search(base, most_runs, limits))
    if as_json:
        print_json(_regressions(result))
    elif markdown:
        click.echo(words.regressions_markdown(result), nl=False)
    else:
        _print(words.REGRESSION_COLUMNS, words.regression_rows(result.found), "no regression")
        note(words.searched(result))
        _notes(words.regression_remarks(result))
    ctx.exit(_REGRESSED if fail and result.found else 0)


@click.command("flaky")
@runs_option(2, FLAKY_RUNS, "to read")
@root_option
@json_option
def flaky_command(most_runs: int, root: Path, as_json: bool) -> None:
    """Show tests that passed and failed at the same revision, and what differs when they fail.

    Runs with uncommitted changes do not count. A difference (the tests that ran before, the
    worker, the copy of the stack, a busy machine) is shown if chance does not explain it.
    """
    found = flaky_tests(store_of_project(root), most_runs)
    if as_json:
        print_json([{**asdict(each), "rate": each.rate} for each in found])
    elif found:
        headers = ("TEST", "FAILED", "OF", "RATE", "WHY", "LAST FAILURE", "MESSAGE")
        print_table(headers, [_flaky_row(each) for each in found])
    else:
        note("no flaky test")


def _flaky_row(test: FlakyTest) -> Row:
    counts = (str(test.failed), str(test.attempts), f"{test.rate:.0%}")
    return test.nodeid, *counts, words.why(test), test.last, test.message


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--merge", is_flag=True, help="The files are parts of one run, such as shards: add one run."
)
@click.option("--branch", default="", help="Branch of runs whose file does not name it.")
@click.option("--revision", default="", help="Revision of runs whose file does not name it.")
@root_option
def import_command(
    files: Sequence[Path], merge: bool, branch: str, revision: str, root: Path
) -> None:
    """Add runs from files to the recorded runs; a run that is already there is not added again.

    FILE is JSON Lines of `dockwright runs export`, JUnit XML of any test runner, or the
    .test_durations of pytest-split. If one file cannot be read, nothing is added.
    """
    store = store_of_project(root)
    known = {run.id for run in store.runs()}
    git = Git(revision, branch, dirty=False if revision else None)
    records = {record.id: record for record in imported(files, git, merge=merge)}
    new = [record for name, record in records.items() if name not in known]
    redact = Redactor.of(os.environ)
    store.add(*(without_secrets(record, redact) for record in new))
    kept = {run.id for run in store.runs()}
    added = sum(record.id in kept for record in new)
    note(f"added {counted(added, 'run')}; {len(records) - len(new)} already recorded")
    if added < len(new):
        note(
            f"{counted(len(new) - added, 'run')} not kept: older than dockwright_record_days, or "
            "more than dockwright_record_runs"
        )


@click.command("trend")
@click.argument("tests", metavar="[TEST]...", nargs=-1)
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with lines over time to this file.",
)
@runs_option(1, TREND_RUNS, "to show")
@root_option
@json_option
def trend_command(
    tests: Sequence[str], page: Path | None, most_runs: int, root: Path, as_json: bool
) -> None:
    """Show how tests and stacks developed over the latest runs of the last run's branch.

    TEST is a part of a test's name. Without it, what grew most is shown.
    """
    found = trend(store_of_project(root), tests, window=most_runs)
    if page is not None:
        from dockwright.report.html.trend import trend_page

        page.write_text(trend_page(found), "utf-8")
        note(f"wrote the trend of {counted(found.runs, 'run')} to {page}")
        if not as_json:
            return
    if as_json:
        print_json(_trend(found))
        return
    branch = found.series.runs[-1].branch
    note(f"{counted(found.runs, 'run')}{f' of {branch}' if branch else ''}")
    rows = [words.growth_row(each) for each in growths(found.series, found.shown)]
    _print(("what", "runs", "first", "last", "change"), rows, "no test was recorded in two runs")


COMMANDS: Sequence[click.Command] = (
    compare_command,
    regressions_command,
    flaky_command,
    import_command,
    trend_command,
)
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
            {
                **_measured(each.measure, each.before, each.after),
                "q": each.q,
                "part": each.part,
                "parts": {
                    name: {"before": was, "after": now} for name, (was, now) in each.parts.items()
                },
            }
            for each in result.changes
        ],
        "within_noise": result.noise,
        "history_runs": result.history,
        "machine_ratio": result.machine,
        "added": list(result.added),
        "gone": list(result.gone),
        "images": list(result.images),
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


def _trend(found: Trend) -> dict[str, Json]:
    return {
        "runs": found.runs,
        "branch": found.series.runs[-1].branch,
        "measures": [
            {
                **asdict(each.measure),
                "unit": _unit(each.measure),
                "runs": each.runs,
                "first": each.first,
                "last": each.last,
            }
            for each in growths(found.series, found.shown)
        ],
        "weeks": [{**asdict(week), "parts": dict(week.parts)} for week in found.weeks],
    }


def _unit(measure: Measure) -> str:
    return "bytes" if measure.in_bytes else "s"


def _measured(measure: Measure, before: float, after: float) -> dict[str, Json]:
    return {**asdict(measure), "unit": _unit(measure), "before": before, "after": after}


def _since(run: StoredRun, runs_after: int) -> dict[str, Json]:
    return {"since": run.id, "revision": run.revision, "runs_after": runs_after}
