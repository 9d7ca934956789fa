"""The table: on a terminal, in the documentation, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.results import Row, Spread, Target

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_WIDTH = 170
_HEADS = ("what", "dockwright", "compared with", "ratio", "target", "met")
_HEADLINES = (
    ("start until ready", "docker compose up --wait"),
    ("24 tests, cold", "testcontainers-python"),
    ("24 tests, cold", "pytest-docker, SQL reset"),
    ("stateful test, whole time, keep_warm", "stateless, same body"),
)
"""The rows that the README shows, by what was measured and the rival."""


def print_table(rows: Iterable[Row]) -> None:
    """Print all rows on standard output, as wide as they need where that is no terminal."""
    table = Table(*_HEADS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*cells(row))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of one row."""
    what = f"{row.what} ({row.note})" if row.note else row.what
    against = f"{row.rival}: {_spread(row.theirs, row.unit)}" if row.theirs else ""
    ratio = ""
    if row.ratio:
        ratio = _spread(row.ratio, "x") + (" faster" if row.is_speedup else "")
    met = "" if row.is_met is None else "yes" if row.is_met else "NO"
    return what, _spread(row.ours, row.unit), against, ratio, _target(row), met


def markdown(rows: Sequence[Row], machine: Mapping[str, str], date: str) -> str:
    """Return the whole table with its date and machine."""
    described = ", ".join(f"{key} {text}" for key, text in machine.items())
    lines = [
        f"`make bench` measured this on {date}: {described}.",
        "",
        *_table(_HEADS, map(cells, rows)),
    ]
    return "\n".join(lines)


def headlines(rows: Sequence[Row]) -> str:
    """Return the README's table.

    Raises:
        ValueError: a row is missing, because only some measures ran.
    """
    found = {(row.what, row.rival): row for row in rows}
    missing = [f"{what} / {rival}" for what, rival in _HEADLINES if (what, rival) not in found]
    if missing:
        raise ValueError(f"not measured in this run: {', '.join(missing)}")
    shown = [cells(found[key])[:4] for key in _HEADLINES]
    return "\n".join(_table(_HEADS[:4], shown))


def write_between_marks(file: Path, text: str) -> None:
    """Replace what stands between the two marks.

    Raises:
        ValueError: the file does not have both marks, in order.
    """
    content = file.read_text()
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{file.name} lacks the marks {BEGIN} and {END}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def as_json(row: Row) -> dict[str, object]:
    """Return a row with whether its target is met."""
    return {**asdict(row), "is_met": row.is_met}


def _spread(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return ""
    text = f"{_number(spread.median)} {unit}"
    if spread.low == spread.high:
        return text
    return f"{text} ({_number(spread.low)}..{_number(spread.high)})"


def _target(row: Row) -> str:
    target: Target | None = row.target
    if target is None:
        return ""
    unit = "x" if row.ratio else row.unit
    if target.at_most is not None:
        return f"≤ {target.at_most:g} {unit}"
    return f"≥ {target.at_least:g} {unit}"


def _number(number: float) -> str:
    """Return three significant digits, so that 1.006 and 12.3 both say enough."""
    if abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.3f}" if 0.9 < number < 1.1 else f"{number:.3g}"
