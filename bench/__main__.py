"""The command: ``python -m bench``, what ``make bench`` runs."""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import (
    backup,
    compat_suites,
    delays,
    frozen,
    healing,
    history,
    known,
    own_images,
    planning,
    plugin_cost,
    recorder,
    repeated,
    start,
    suites,
    teardown,
    testcontainers_suites,
    worlds,
)
from bench.bench import ROOT, Bench
from bench.leftovers import remove_leftovers
from bench.machine import describe
from bench.results import Row
from bench.table import as_json, headlines, markdown, print_table, write_between_marks
from dockwright.engine import connect
from dockwright.errors import DockwrightError

MEASURES: Mapping[str, tuple[Callable[[Bench], Iterator[Row]], str]] = {
    "plugin": (plugin_cost.measure, "cost of the plugin where no stack is used"),
    "recorder": (recorder.measure, "cost of recording a run"),
    "planner": (planning.measure, "time and memory of the planner for a very large suite"),
    "start": (start.measure, "start until ready, against Compose and bare API calls"),
    "frozen": (frozen.measure, "starts and resets above a large cached baseline"),
    "detection": (delays.measure, "delay between true readiness and its detection"),
    "teardown": (teardown.measure, "removal of processes that ignore SIGTERM"),
    "backup": (backup.measure, "backup and restore of a volume, against tar and zstd"),
    "healing": (healing.measure, "check of a stack that tests have shared"),
    "tests": (suites.measure_tests, "time per test, waits for leases, kept-warm runs"),
    "suite": (suites.measure, "a whole suite, against three rivals"),
    "testcontainers": (
        testcontainers_suites.measure,
        "suites of testcontainers, unchanged, with and without",
    ),
    "compat": (
        compat_suites.measure,
        "suites of pytest-docker with tiny stacks, unchanged, with and without",
    ),
    "history": (
        history.measure,
        "detection of slower tests, against simpler rules; time and memory for a large history",
    ),
    "worlds": (worlds.measure, "worlds of isolated workers: start, disk, a suite that waits"),
    "known": (known.measure, "a suite that nothing has changed for, with reused results"),
    "repeated": (repeated.measure, "what a run repeats though nothing has changed"),
    "own images": (own_images.measure, "a suite whose images have names of their own"),
}


def main() -> int:
    """Run the measures and show the table; return the exit code."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    try:
        engine = connect()
        engine.ping()
    except DockwrightError as missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dockwright-bench-") as directory:
        run = secrets.token_hex(4)
        bench = Bench(engine, run, Path(directory), quick=given.quick, full=given.full)
        bench.say(f"run {run}")
        machine = describe(engine)
        try:
            rows = _measured(bench, given.only or list(MEASURES))
        except KeyboardInterrupt:
            bench.say("interrupted; removing what was made")
            return 130
        finally:
            remove_leftovers(bench)
    bench.say(f"done in {time.monotonic() - began:.0f} s")
    _show(rows, machine, bench, given)
    return 0


def _measured(bench: Bench, names: list[str]) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        began = time.monotonic()
        bench.say(f"== {name}: {MEASURES[name][1]}")
        rows += MEASURES[name][0](bench)
        bench.say(f"== {name} took {time.monotonic() - began:.0f} s")
    return rows


def _show(
    rows: list[Row], machine: Mapping[str, str], bench: Bench, given: argparse.Namespace
) -> None:
    date = time.strftime("%Y-%m-%d")
    print(f"{date}: " + ", ".join(f"{key} {text}" for key, text in machine.items()))
    print_table(rows)
    for sentence in bench.skipped:
        print(f"skipped: {sentence}")
    if given.json:
        document = {
            "date": date,
            "machine": machine,
            "skipped": bench.skipped,
            "rows": [as_json(row) for row in rows],
        }
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    if given.write_docs:
        write_between_marks(ROOT / "README.md", headlines(rows))
        write_between_marks(ROOT / "docs/explanation/benchmarks.md", markdown(rows, machine, date))


def _arguments() -> argparse.Namespace:
    listed = "\n".join(f"  {name:11}{text}" for name, (_, text) in MEASURES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure dockwright against rivals and floors; the table goes to standard "
        "output, progress to standard error.",
        epilog=f"measures:\n{listed}\n\nEverything that a run makes is removed at its end, "
        "also after Ctrl-C.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(MEASURES),
        metavar="NAME",
        help="run only these measurements",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run one round of each, to see whether everything works",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="run the other tools' suites completely instead of extrapolating",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to FILE")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="write the table into the documentation, and its main rows into README.md",
    )
    given = parser.parse_args()
    if given.write_docs and (given.only or given.quick):
        parser.error("--write-docs needs a whole run: leave out --only and --quick")
    return given


if __name__ == "__main__":
    sys.exit(main())
