"""``dockwright profile``: run any test suite and report where its time went."""

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
  dockwright profile -- pytest                          the suite in this directory
  dockwright profile -- pytest -n 4 tests/integration   with pytest-xdist
  dockwright profile --json profile.json -- make test   any command that runs Python
  dockwright profile --json - -- pytest | jq .advice    only JSON on standard output
""",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    help="Also write the profile as JSON. With '-', print JSON instead of the report, and send the "
    "command's standard output to standard error.",
)
@click.option("--output", type=_FILE, help="Write the report to a file instead of printing it.")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Maximum number of rows in each table.",
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
    """Run COMMAND, such as a test suite, and report where its wall time went.

    The suite need not use dockwright, and it runs unchanged, with its own output and terminal. The
    report shows what the suite waited for, where it did so, how long that took, and what to change,
    largest saving first.

    The exit code is that of the command, 128 + N if signal N ended it, or 2 if it cannot be run.
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
        # Piped output is wrapped as well: shutil falls back to 80 columns.
        width = shutil.get_terminal_size().columns
        click.echo("\n" + render(result, colours=colours, rows=rows, width=width), nl=False)
    ctx.exit(result.exit_code)


def _profiled(command: tuple[str, ...], *, quiet: bool) -> Profile:
    from dockwright.profile import analyse, run_command

    redact = Redactor.of(os.environ)
    # A daemon that the suite left running may still write there while it is removed.
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
    """Watch the engine if one answers; without it the profile shows less."""
    from dockwright.profile import EngineWatch

    watch: EngineWatch | None
    with ExitStack() as stack:
        try:
            watch = EngineWatch(current_engine())
        except DockwrightError as failure:
            if engine_url():
                raise  # --engine names it
            _log.info("profile.no-engine error=%s", failure)
            watch = None
        else:
            stack.enter_context(watch)
        yield watch


def _check_writable(json_file: str | None, output: Path | None) -> None:
    """Raise before the suite runs, not after it, if a file cannot be written."""
    for target in (Path(json_file) if json_file and json_file != "-" else None, output):
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(
                f"cannot write {target}: no such directory: {target.absolute().parent}",
                hint="create the directory first",
            )
