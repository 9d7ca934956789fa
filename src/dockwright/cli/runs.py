"""``dockwright runs``: list, show, export and delete the recorded runs of a project."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import click

from dockwright._text import age, counted, format_size
from dockwright.cli import history
from dockwright.cli.options import json_option, older_than_s, root_option
from dockwright.cli.output import Row, note, print_json, print_table
from dockwright.errors import UsageError
from dockwright.history import runs_back
from dockwright.recording import (
    RunRecord,
    RunStore,
    StoredRun,
    TestRecord,
    UnitRecord,
    recorded_costs,
    this_machine,
)
from dockwright.schedule import read_costs

Table: TypeAlias = tuple[Row, Sequence[Row]]
"""Headers and rows; without headers the rows are plain lines."""

_PHASES = ("queue", "fixture", "call", "wait", "other")
_COLUMNS = (
    *("run", "run_began_s", "nodeid", "worker", "outcome", "lane", "stack"),
    *("began_s", "wall_s", "elapsed_s", "shared_s"),
    *(f"{phase}_s" for phase in _PHASES),
)


def local_time(seconds: float) -> str:
    """Return a time in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def json_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Yield one line of JSON for each run."""
    for record in records:
        yield json.dumps(record.to_json(), separators=(",", ":"), ensure_ascii=False)


def csv_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Yield a header, then a row of comma-separated values for each test of each run."""
    yield _csv(_COLUMNS)
    for record in records:
        for test in record.tests:
            yield _csv(
                [
                    *(record.id, f"{record.began_s:.3f}", test.nodeid, test.worker, test.outcome),
                    *(test.lane, test.stack, f"{test.began_s:.6f}", f"{test.wall_s:.6f}"),
                    *(f"{test.elapsed_s:.6f}", f"{test.elapsed_s - test.wall_s:.6f}"),
                    *(f"{_charged(test, phase):.6f}" for phase in _PHASES),
                ]
            )


def _csv(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _charged(test: TestRecord, phase: str) -> float:
    return sum(span.seconds for span in test.spans if span.phase == phase and not span.shared)


def describe(record: RunRecord, *, tests: int) -> Iterator[Table]:
    """Return a run as tables.

    Args:
        record: the run.
        tests: how many of the slowest tests are shown.
    """
    yield (), [(line,) for line in _head(record)]
    yield ("WORKER", "DOING", "SECONDS", "PART"), list(_lanes(record))
    yield ("TIME OF TESTS", "SECONDS", "TESTS"), list(_phases(record))
    shared = sorted(record.shared, key=lambda cost: -cost.seconds)
    yield (
        ("SHARED", "KIND", "WHERE", "SECONDS", "USED BY"),
        [
            (cost.name, cost.phase, cost.lane, _s(cost.seconds), counted(cost.tests, "test"))
            for cost in shared
        ],
    )
    yield (
        ("CONTAINER", "CPU", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT", "LOG"),
        [_unit(stack.project, unit) for stack in record.stacks for unit in stack.units],
    )
    slowest = sorted(record.tests, key=lambda test: -test.wall_s)[:tests]
    yield ("SLOWEST TESTS", "OUTCOME", "SECONDS", "MOST OF IT"), [_slow(test) for test in slowest]
    problems = [f"problem: {problem}" for problem in record.problems]
    yield (), [(line,) for line in (*record.notes, *problems)]


def _head(record: RunRecord) -> Iterator[str]:
    yield f"run {record.id}, began {local_time(record.began_s)}, took {record.wall_s:.1f} s"
    yield f"{counted(len(record.tests), 'test')}, exit code {record.exit_code}"
    git, machine = record.git, record.machine
    if git.revision:
        changed = {
            True: ", with uncommitted changes",
            False: "",
            None: ", perhaps with uncommitted changes",
        }[git.dirty]
        yield f"source   {git.branch or 'no branch'} at {git.revision}{changed}"
    memory = format_size(machine.memory_bytes)
    yield f"machine  {machine.cpu}, {counted(machine.cores, 'core')}, {memory}"
    engine = machine.engine or "no engine"
    yield f"         {machine.os} {machine.kernel}, Python {machine.python}, {engine}"
    for name, value in record.settings.items():
        yield f"setting  {name} = {value}"


def _lanes(record: RunRecord) -> Iterator[Row]:
    for worker in record.workers:
        tests = [test for test in record.tests if test.worker == worker.name]
        parts: list[tuple[str, float]] = [(gap.name, gap.seconds) for gap in worker.gaps]
        charged_s = sum(test.wall_s for test in tests)
        parts.append(("tests", charged_s))
        parts.append(("shared", sum(test.elapsed_s for test in tests) - charged_s))
        for name, seconds in parts:
            yield worker.name, name, _s(seconds), f"{seconds / max(record.wall_s, 1e-9):4.0%}"


def _phases(record: RunRecord) -> Iterator[Row]:
    seconds: dict[str, float] = {}
    users: dict[str, set[str]] = {}
    for test in record.tests:
        for span in test.spans:
            if not span.shared:
                detail = f" {span.name}" if span.phase in ("queue", "fixture") else ""
                name = f"{span.phase}{detail}"
                seconds[name] = seconds.get(name, 0.0) + span.seconds
                users.setdefault(name, set()).add(test.nodeid)
    for name, total_s in sorted(seconds.items(), key=lambda item: -item[1]):
        yield name, _s(total_s), str(len(users[name]))


def _unit(project: str, unit: UnitRecord) -> Row:
    traffic = (unit.read_bytes, unit.written_bytes, unit.received_bytes, unit.sent_bytes)
    return (
        f"{project}/{unit.unit}",
        "-" if unit.cpu_s is None else f"{unit.cpu_s:.2f} s",
        *(
            "-" if size is None else format_size(size)
            for size in (unit.peak_memory_bytes, *traffic, unit.log_bytes)
        ),
    )


def _slow(test: TestRecord) -> Row:
    own = [span for span in test.spans if not span.shared]
    most = max(own, key=lambda span: span.seconds, default=None)
    name = f"{most.phase} {most.name} {_s(most.seconds)} s" if most else ""
    return test.nodeid, test.outcome, _s(test.wall_s), " ".join(name.split())


def _s(seconds: float) -> str:
    return f"{seconds:.3f}"


_SHOWN_REVISION = 10


@click.group(
    epilog="""\b
Examples:
  dockwright runs ls                   list the latest runs
  dockwright runs show                 show where the time of the last run went
  dockwright runs compare main last    show what the last run changed
  dockwright runs regressions          show what became slower and stayed so
  dockwright runs export --format csv  export every test of every run for a spreadsheet
  dockwright runs export --costs FILE  write what tests and stacks cost, to balance shards
"""
)
def runs() -> None:
    """Show, compare, export and delete recorded runs: the times of each test, fixture and stack.

    Test runs that use a stack are recorded automatically. The settings dockwright_record,
    dockwright_record_runs and dockwright_record_days change which runs, how many, and for how long.
    Set DOCKWRIGHT_CACHE_DIR to store them elsewhere.
    """


for command in history.COMMANDS:
    runs.add_command(command)


@runs.command("ls")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many runs to list; 0: all.",
)
@root_option
@json_option
def ls(limit: int, root: Path, as_json: bool) -> None:
    """List the recorded runs, newest first."""
    store = history.store_of_project(root)
    found = store.runs(limit or None)
    if as_json:
        print_json([_document(run) for run in found])
    elif found:
        headers = ("RUN", "BEGAN", "AGO", "WALL", "TESTS", "FAILED", "EXIT", "BRANCH", "REVISION")
        print_table(headers, [_row(run) for run in found])
    else:
        note(f"{store.file} has no recorded run of this project")


@runs.command("show")
@click.argument("run", metavar="[RUN]", default="")
@click.option(
    "-n",
    "--tests",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the slowest tests to show; 0: all.",
)
@root_option
@json_option
def show(run: str, tests: int, root: Path, as_json: bool) -> None:
    """Show where the time of the last run went, or of RUN.

    RUN is a prefix of a run's name, or last~1 for the run before the last.
    """
    store = history.store_of_project(root)
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
@click.option(
    "--older-than", metavar="AGE", help="Delete runs older than this, such as 12h or 30d."
)
@click.option("--all", "everything", is_flag=True, help="Delete all runs of the project.")
@root_option
def rm(names: Sequence[str], older_than: str | None, everything: bool, root: Path) -> None:
    """Delete recorded runs; RUN is a prefix of a run's name, or `last`."""
    if sum([bool(names), older_than is not None, everything]) != 1:
        raise UsageError(
            "give either names of runs, or --older-than, or --all",
            hint="`dockwright runs ls` lists the runs",
        )
    store = history.store_of_project(root)
    chosen = _chosen(store, names) if names else store.runs()
    if older_than is not None:
        before_s = time.time() - older_than_s(older_than)
        chosen = [run for run in chosen if run.began_s <= before_s]
    gone = store.remove(run.id for run in chosen)
    note(f"removed {counted(gone, 'run')}")


@runs.command("export")
@click.argument("names", metavar="[RUN]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="jsonl: one line for each run, with all data. csv: one row for each test.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: standard output]",
)
@click.option(
    "--costs",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the costs of tests and stacks to this file instead, for dockwright_costs: the "
    "medians of the last runs.",
)
@root_option
def export(
    names: Sequence[str], form: str, output: Path | None, costs: Path | None, root: Path
) -> None:
    """Export recorded runs, oldest first; RUN is a prefix of a run's name, or `last`."""
    store = history.store_of_project(root)
    if costs is not None:
        _export_costs(store, costs, names, output)
        return
    chosen = _chosen(store, names) if names else store.runs()
    records = (store.load(run.id) for run in reversed(chosen))
    lines = csv_lines(records) if form == "csv" else json_lines(records)
    if output is None:
        for line in lines:
            click.echo(line)
        return
    with output.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    note(f"wrote {counted(len(chosen), 'run')} to {output}, {format_size(output.stat().st_size)}")


def _export_costs(store: RunStore, file: Path, names: Sequence[str], output: Path | None) -> None:
    if names or output is not None:
        raise UsageError(
            "--costs takes neither runs nor --output",
            hint="the costs are those of the last runs; give the file's name to --costs",
        )
    _chosen(store, [])  # there is a run
    found = recorded_costs(store, this_machine())
    file.write_text(found.to_text(), encoding="utf-8")
    note(
        f"wrote the costs of {counted(len(found.tests), 'test')} and "
        f"{counted(len(found.stacks), 'stack')} from {counted(found.runs, 'run')} to {file} "
        f"({read_costs(file).digest})"
    )


def _chosen(store: RunStore, names: Sequence[str]) -> list[StoredRun]:
    """Return the runs whose names start with `names`; without names, the last run.

    Raises:
        UsageError: no run or several runs have such a name.
    """
    known = store.runs()
    if not names and not known:
        raise UsageError(
            f"{store.file} has no recorded run of this project",
            hint="run tests that use a stack, or run pytest with --dockwright-record=on",
        )
    if not names:
        return known[:1]
    return [_named(known, name) for name in names]


def _named(known: Sequence[StoredRun], name: str) -> StoredRun:
    found = [run for run in known if run.id.startswith(name)]
    if (back := runs_back(name)) is not None:
        found = list(known[back : back + 1])
    if len(found) == 1:
        return found[0]
    problem = (
        f"{len(found)} runs have names that start" if found else "no run has a name that starts"
    )
    raise UsageError(f"{problem} with {name!r}", hint="`dockwright runs ls` lists the names")


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
