"""``dockwright runs``: look at the recorded runs of a project, remove them, pass them on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from dockwright._text import age, counted, format_size
from dockwright.cli._common import json_option, root_option
from dockwright.cli._output import note, print_json, print_table
from dockwright.cli._pytest_settings import project_settings
from dockwright.cli._run_texts import csv_lines, describe, json_lines, local_time
from dockwright.cli._types import older_than_s
from dockwright.errors import UsageError
from dockwright.measure import RunStore, StoredRun, store_of

_SHOWN_REVISION = 10


@click.group(
    epilog="""\b
Examples:
  dockwright runs ls                   the last runs, the newest first
  dockwright runs show                 where the time of the last one went
  dockwright runs export --format csv  every test of every run, for a spreadsheet
"""
)
def runs() -> None:
    """Look at recorded runs: what each test, fixture and stack took.

    Test runs that use a stack are recorded by themselves; see the setting dockwright_record.
    They are kept in the project's cache, for 90 days and up to 200 of them; DOCKWRIGHT_CACHE_DIR
    says where that is.
    """


@runs.command("ls")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many; 0: all.",
)
@root_option
@json_option
def ls(limit: int, root: Path, as_json: bool) -> None:
    """List the recorded runs, the newest first."""
    store = _store(root)
    found = store.runs(limit or None)
    if as_json:
        print_json([_document(each) for each in found])
    elif found:
        headers = ("RUN", "BEGAN", "AGO", "WALL", "TESTS", "FAILED", "EXIT", "BRANCH", "REVISION")
        print_table(headers, [_row(each) for each in found])
    else:
        note(f"no run of this project is recorded in {store.file}")


@runs.command("show")
@click.argument("run", metavar="[RUN]", default="")
@click.option(
    "-n",
    "--tests",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the slowest tests; 0: all.",
)
@root_option
@json_option
def show(run: str, tests: int, root: Path, as_json: bool) -> None:
    """Show where the time of a run went: of the last run, or of RUN, a prefix of its name."""
    store = _store(root)
    record = store.load(_chosen(store, [run] if run else [])[0].id)
    if as_json:
        print_json(record.to_json())
        return
    for headers, rows in describe(record, tests=tests or len(record.tests)):
        if not headers:
            click.echo("\n".join(" ".join(row) for row in rows))
        elif rows:
            click.echo()
            print_table(headers, rows)


@runs.command("rm")
@click.argument("names", metavar="[RUN]...", nargs=-1)
@click.option("--older-than", metavar="AGE", help="All that began so long ago: 12h, 30d.")
@click.option("--all", "everything", is_flag=True, help="All runs of the project.")
@root_option
def rm(names: Sequence[str], older_than: str | None, everything: bool, root: Path) -> None:
    """Delete recorded runs; RUN is a prefix of a name."""
    if sum([bool(names), older_than is not None, everything]) != 1:
        raise UsageError(
            "say which runs: their names, --older-than or --all",
            hint="`dockwright runs ls` shows them",
        )
    store = _store(root)
    chosen = _chosen(store, names) if names else store.runs()
    if older_than is not None:
        before_s = time.time() - older_than_s(older_than)
        chosen = [each for each in chosen if each.began_s <= before_s]
    gone = store.remove(each.id for each in chosen)
    note(f"removed {counted(gone, 'run')}")


@runs.command("export")
@click.argument("names", metavar="[RUN]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="jsonl: a line for each run, with all that is known. csv: a row for each test.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: standard output]",
)
@root_option
def export(names: Sequence[str], form: str, output: Path | None, root: Path) -> None:
    """Print recorded runs for other programs, oldest first; RUN is a prefix of a name."""
    store = _store(root)
    chosen = _chosen(store, names) if names else store.runs()
    records = (store.load(each.id) for each in reversed(chosen))
    lines = csv_lines(records) if form == "csv" else json_lines(records)
    if output is None:
        for line in lines:
            click.echo(line)
        return
    with output.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    note(f"wrote {counted(len(chosen), 'run')} to {output}, {format_size(output.stat().st_size)}")


def _store(root: Path) -> RunStore:
    return store_of(project_settings(root, ""), os.environ)


def _chosen(store: RunStore, names: Sequence[str]) -> list[StoredRun]:
    """Return the runs with these prefixes; without any, the last run.

    Raises:
        UsageError: there is none of a name, or several.
    """
    known = store.runs()
    if not names and not known:
        raise UsageError(
            f"no run of this project is recorded in {store.file}",
            hint="run its tests with a stack, or with --dockwright-record=on",
        )
    if not names:
        return known[:1]
    return [_named(known, name) for name in names]


def _named(known: Sequence[StoredRun], name: str) -> StoredRun:
    found = [each for each in known if each.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    problem = (
        f"{len(found)} runs have names that begin" if found else "no run has a name that begins"
    )
    raise UsageError(f"{problem} with {name!r}", hint="`dockwright runs ls` shows their names")


def _row(run: StoredRun) -> tuple[str, ...]:
    changed = "+" if run.dirty else ""
    return (
        run.id,
        local_time(run.began_s),
        age(time.time() - run.began_s),
        f"{run.wall_s:.1f} s",
        str(run.tests),
        str(run.failed or "-"),
        str(run.exit_code),
        run.branch or "-",
        (run.revision[:_SHOWN_REVISION] + changed) or "-",
    )


def _document(run: StoredRun) -> dict[str, object]:
    return {
        "id": run.id,
        "began_s": run.began_s,
        "wall_s": run.wall_s,
        "exit_code": run.exit_code,
        "revision": run.revision,
        "branch": run.branch,
        "dirty": run.dirty,
        "tests": run.tests,
        "failed": run.failed,
        "stored_bytes": run.stored_bytes,
    }
