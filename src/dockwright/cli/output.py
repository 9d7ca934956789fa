"""What commands print: tables on a terminal, aligned plain text elsewhere, JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

import click

from dockwright.untrusted import printable

if TYPE_CHECKING:
    from rich.table import Table

Row = Sequence[str]

# How a word in a table is shown on a terminal; every other word is plain.
_STYLES: Mapping[str, str] = {
    "ok": "green",
    "running": "green",
    "healthy": "green",
    "ready": "green",
    "alive": "green",
    "long-lived": "green",
    "warn": "yellow",
    "starting": "yellow",
    "waiting": "yellow",
    "kept": "yellow",
    "fail": "red",
    "failed": "red",
    "dead": "red",
    "unhealthy": "red",
    "exited": "red",
    "missing": "dim",
}


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether a person looks at `stream`, through a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colours_wanted(stream: IO[str]) -> bool:
    """Tell whether text written to `stream` may be coloured."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def print_table(headers: Row, rows: Sequence[Row], *, whole: int = 0) -> None:
    """Print rows to standard output.

    Args:
        headers: the names of the columns.
        rows: the cells.
        whole: so many columns, from the first, are never folded on a narrow terminal.
    """
    if is_terminal(sys.stdout):
        from rich.console import Console

        Console().print(rich_table(headers, rows, whole=whole))
    else:
        click.echo(plain_table(headers, rows))


def rich_table(headers: Row, rows: Sequence[Row], *, whole: int = 0) -> Table:
    """Return rows as a table with colours; the parameters are those of `print_table`."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, overflow="fold", no_wrap=number < whole)
    for row in rows:
        # Text, not str: a name in square brackets is not markup.
        cells = [printable(cell, keep="") for cell in row]
        table.add_row(*(Text(cell, _STYLES.get(cell.partition(" (")[0], "")) for cell in cells))
    return table


def plain_table(headers: Row, rows: Sequence[Row]) -> str:
    """Return rows in aligned columns, with no space at the lines' ends."""
    everything = [list(headers), *([printable(cell, keep="") for cell in row] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*everything, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    )


def print_json(document: object) -> None:
    """Print a document for scripts."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Tell the person something that is not the command's result: on standard error."""
    click.echo(printable(text), err=True)
