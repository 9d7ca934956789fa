"""The table: on a terminal, in the README, and as JSON."""

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
    """Return the table for the README."""
    described = ", ".join(f"{key} {text}" for key, text in machine.items())
    lines = [
        f"`make bench` measured this on {date}: {described}.",
        "",
        "| " + " | ".join(_HEADS) + " |",
        "|" + "---|" * len(_HEADS),
        *("| " + " | ".join(cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines)


def write_readme(file: Path, text: str) -> None:
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
