"""What commands print and ask: tables on a terminal, plain text elsewhere, JSON, questions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

import click

from dockwright.errors import UsageError
from dockwright.untrusted import printable

if TYPE_CHECKING:
    from rich.table import Table

Row = Sequence[str]

# The colours of words in tables on a terminal; other words have none.
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
    """Return whether `stream` is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def colours_wanted(stream: IO[str]) -> bool:
    """Return whether text written to `stream` may be coloured."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def print_table(headers: Row, rows: Sequence[Row], *, whole: int = 0) -> None:
    """Print rows to standard output.

    Args:
        headers: the names of the columns.
        rows: the cells.
        whole: how many columns, from the left, are never folded on a narrow terminal.
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
    """Return rows in aligned columns, without trailing spaces."""
    everything = [list(headers), *([printable(cell, keep="") for cell in row] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*everything, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    )


def print_json(document: object) -> None:
    """Print a document as JSON."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Print a message to standard error; standard output is for the command's result."""
    click.echo(printable(text), err=True)


def confirmed(question: str, *, lines: Sequence[str] = (), refusal: str, hint: str) -> bool:
    """Ask a question on the terminal and return the answer.

    Args:
        question: what to ask.
        lines: what to print before it.
        refusal: the error message if there is no terminal.
        hint: what to do then.

    Raises:
        UsageError: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(refusal, hint=hint)
    for line in lines:
        note(line)
    return click.confirm(question, err=True)
