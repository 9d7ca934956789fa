"""``dockwright profile``: run any suite as it is, and say where its wall time went."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockwright.cli.options import current_engine, engine_url
from dockwright.cli.output import colours_wanted, print_json
from dockwright.errors import DockwrightError, UsageError
from dockwright.redact import Redactor

if TYPE_CHECKING:
    from dockwright.profile import EngineWatch, Profile

_log = logging.getLogger(__name__)

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  dockwright profile -- pytest                          the suite of this directory
  dockwright profile -- pytest -n 4 tests/integration   with pytest-xdist
  dockwright profile --json profile.json -- make test   whatever runs Python
  dockwright profile --json - -- pytest | jq .advice    standard output for JSON alone
""",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    help="Also write all of it as JSON; '-' prints JSON instead of the report, and the command's "
    "own standard output goes to standard error.",
)
@click.option("--output", type=_FILE, help="Write the report to this file instead of printing it.")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many rows each table has at most.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def profile(
    ctx: click.Context,
    *,
    json_file: str | None,
    output: Path | None,
    rows: int,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, any suite, and say where its wall time went.

    The suite need not know dockwright, and is run as it is: its output, its terminal and its exit
    code are its own. Afterwards a report tells which waits cost how much, where they are called,
    and what to change, the largest saving first.

    The exit code is the command's; 128 + N where signal N ended it. 2 where it cannot be run.
    """
    from dockwright.profile.text import render

    _check_writable(json_file, output)
    result = _profiled(command, quiet=json_file == "-")
    if json_file == "-":
        print_json(result.to_json())
    elif json_file:
        Path(json_file).write_text(json.dumps(result.to_json(), indent=2), "utf-8")
    if output is not None:
        output.write_text(render(result, rows=rows), "utf-8")
    elif json_file != "-":
        colours = colours_wanted(sys.stdout)
        # As wide as the terminal that shows it; what is piped or kept is made for any.
        width = shutil.get_terminal_size().columns
        click.echo("\n" + render(result, colours=colours, rows=rows, width=width), nl=False)
    ctx.exit(result.exit_code)


def _profiled(command: tuple[str, ...], *, quiet: bool) -> Profile:
    from dockwright.profile import analyse, run_command

    redact = Redactor.of(os.environ)
    # What still runs then, a daemon that the suite left, may write once more: not our concern.
    with tempfile.TemporaryDirectory(
        prefix="dockwright-profile-", ignore_cleanup_errors=True
    ) as directory:
        records = Path(directory)
        sys.stdout.flush()
        with _watched() as watch:
            done = run_command(command, records, stdout=sys.stderr if quiet else None)
        return analyse(records, done, watch.facts() if watch else None, redact)


@contextmanager
def _watched() -> Iterator[EngineWatch | None]:
    """Watch the engine, if one answers; without it the profile has less to tell."""
    from dockwright.profile import EngineWatch

    watch: EngineWatch | None
    with ExitStack() as stack:
        try:
            watch = EngineWatch(current_engine())
        except DockwrightError as failure:
            if engine_url():
                raise  # it was asked for
            _log.info("profile.no-engine error=%s", failure)
            watch = None
        else:
            stack.enter_context(watch)
        yield watch


def _check_writable(json_file: str | None, output: Path | None) -> None:
    """Refuse before the suite runs, not after."""
    for target in (Path(json_file) if json_file and json_file != "-" else None, output):
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(
                f"{target} cannot be written: there is no directory {target.absolute().parent}",
                hint="make it first",
            )
