"""A recorded run as tables for people, and as lines for other programs."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from dockwright._text import counted, format_size
from dockwright.cli._output import Row
from dockwright.measure import RunRecord, TestRecord, UnitRecord

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
