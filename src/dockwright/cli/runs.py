"""``dockwright runs``: look at the recorded runs of a project, remove them, pass them on."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import click

from dockwright._text import age, counted, format_size
from dockwright.cli.options import json_option, older_than_s, root_option
from dockwright.cli.output import Row, note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.errors import UsageError
from dockwright.recording import RunRecord, RunStore, StoredRun, TestRecord, UnitRecord, store_of

Table: TypeAlias = tuple[Row, Sequence[Row]]
"""Headers (none: plain lines) and rows."""

_PHASES = ("queue", "fixture", "call", "wait", "other")
_COLUMNS = (
    *("run", "run_began_s", "nodeid", "worker", "outcome", "lane", "stack"),
    *("began_s", "wall_s", "elapsed_s", "shared_s"),
    *(f"{phase}_s" for phase in _PHASES),
)


def local_time(seconds: float) -> str:
    """Return a moment as people write it here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def json_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Return a JSON document for each run, on a line of its own."""
    for record in records:
        yield json.dumps(record.to_json(), separators=(",", ":"), ensure_ascii=False)


def csv_lines(records: Iterable[RunRecord]) -> Iterator[str]:
    """Return a header, and a row of comma-separated values for each test of each run."""
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
            (each.name, each.phase, each.lane, _s(each.seconds), counted(each.tests, "test"))
            for each in shared
        ],
    )
    yield (
        ("CONTAINER", "CPU", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT", "LOG"),
        [_unit(stack.project, unit) for stack in record.stacks for unit in stack.units],
    )
    slowest = sorted(record.tests, key=lambda test: -test.wall_s)[:tests]
    yield ("SLOWEST TESTS", "OUTCOME", "SECONDS", "MOST OF IT"), [_slow(each) for each in slowest]
    yield (), [(line,) for line in (*record.notes, *(f"problem: {x}" for x in record.problems))]


def _head(record: RunRecord) -> Iterator[str]:
    yield f"run {record.id}, began {local_time(record.began_s)}, took {record.wall_s:.1f} s"
    yield f"{counted(len(record.tests), 'test')}, exit code {record.exit_code}"
    git, machine = record.git, record.machine
    if git.revision:
        changed = {True: ", with changes", False: "", None: ", perhaps with changes"}[git.dirty]
        yield f"source   {git.branch} at {git.revision}{changed}"
    memory = format_size(machine.memory_bytes)
    yield f"machine  {machine.cpu}, {counted(machine.cores, 'core')}, {memory}"
    engine = machine.engine or "no engine"
    yield f"         {machine.os} {machine.kernel}, Python {machine.python}, {engine}"
    for name, value in record.settings.items():
        yield f"setting  {name} = {value}"


def _lanes(record: RunRecord) -> Iterator[Row]:
    for worker in record.workers:
        mine = [test for test in record.tests if test.worker == worker.name]
        parts: list[tuple[str, float]] = [(gap.name, gap.seconds) for gap in worker.gaps]
        charged_s = sum(test.wall_s for test in mine)
        parts.append(("tests", charged_s))
        parts.append(("shared", sum(test.elapsed_s for test in mine) - charged_s))
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
    for name, total_s in sorted(seconds.items(), key=lambda each: -each[1]):
        yield name, _s(total_s), str(len(users[name]))


def _unit(project: str, unit: UnitRecord) -> Row:
    storage = (unit.read_bytes, unit.written_bytes, unit.received_bytes, unit.sent_bytes)
    return (
        f"{project}/{unit.unit}",
        "-" if unit.cpu_s is None else f"{unit.cpu_s:.2f} s",
        *(
            "-" if each is None else format_size(each)
            for each in (unit.peak_memory_bytes, *storage, unit.log_bytes)
        ),
    )


def _slow(test: TestRecord) -> Row:
    mine = [span for span in test.spans if not span.shared]
    most = max(mine, key=lambda span: span.seconds, default=None)
    name = f"{most.phase} {most.name} {_s(most.seconds)} s" if most else ""
    return test.nodeid, test.outcome, _s(test.wall_s), " ".join(name.split())


def _s(seconds: float) -> str:
    return f"{seconds:.3f}"


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
