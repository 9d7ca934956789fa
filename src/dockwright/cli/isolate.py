"""``dockwright isolate``: run a suite so that each of its workers has a world of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from dockwright.cli.options import current_engine
from dockwright.cli.output import note
from dockwright.cli.pytest_settings import project_root
from dockwright.errors import UsageError


def _check_workers(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse what is neither a number of workers nor ``auto``."""
    if value is None or value == "auto" or (value.isdecimal() and int(value) > 0):
        return value
    raise click.BadParameter(f"{value!r} is neither a number from 1 on nor auto")


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""\b
Examples:
  dockwright isolate -- pytest -n 4            each of four workers has its own engine
  dockwright isolate -- pytest                 one throw-away engine for a suite that prunes
  dockwright isolate --workers 8 -- make test  pass -n 8 to the pytest that make runs
  dockwright isolate -- pytest -n auto         as many as the last isolated run proposes
  dockwright isolate --image redis:7 --show ~/.aws -- pytest -n 4
""",
)
@click.option(
    "--workers",
    metavar="N",
    callback=_check_workers,
    help="Pass -n N to pytest; auto: as many as the last isolated run proposes, or one per core.  "
    "[default: as the command says; without -n, one worker]",
)
@click.option("--engine", is_flag=True, help="Give each worker its own engine (and network).")
@click.option("--home", is_flag=True, help="Give each worker its own HOME, /tmp and /var/tmp.")
@click.option("--net", is_flag=True, help="Give each worker its own network and sockets.")
@click.option("--pid", is_flag=True, help="Give each worker its own processes; always on.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="NAME",
    help="Image that the engines start with; repeatable.  [default: images on the engine whose "
    "names occur in the project's files]",
)
@click.option(
    "--show",
    "shown",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="File or directory that workers see and change although it is in HOME or /tmp; "
    "repeatable.",
)
@click.option(
    "--outside",
    is_flag=True,
    help="Give workers a way out of their network, to registries for example; needs slirp4netns.",
)
@click.option(
    "--reach",
    "reached",
    multiple=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of this machine's loopback that workers reach at theirs; repeatable.",
)
@click.option(
    "--dockerd",
    default="",
    metavar="PATH",
    help="Daemon to run as the workers' engine.  [default: dockerd of this machine]",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def isolate(
    *,
    workers: str | None,
    engine: bool,
    home: bool,
    net: bool,
    pid: bool,
    images: tuple[str, ...],
    shown: tuple[Path, ...],
    outside: bool,
    reached: tuple[int, ...],
    dockerd: str,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, such as a test suite, and give each worker of pytest-xdist its own world.

    A world has its own Docker engine, network, processes and home directory, so that suites with
    fixed ports, names and directories run in parallel without an edit. The suite need not use
    dockwright. The tests of one file stay in one worker, unless --dist says otherwise.

    Without --engine, --home, --net or --pid, everything is separated. COMMAND itself runs in such a
    world as well, but with your home directory.

    Needs Linux, and root or a user who may make user namespaces. Such a user is root in the worlds.

    The exit code is that of the command, or 2 if it cannot be run.
    """
    from dockwright.isolate import (
        IsolationRequest,
        become_root,
        enter,
        is_root,
        prepare,
        require_possible,
    )

    if shutil.which(command[0]) is None:
        raise UsageError(
            f"cannot run {command[0]!r}: no such command",
            hint="check the spelling, and that the right virtual environment is active",
        )
    chosen = {"engine": engine, "home": home, "net": net, "pid": pid}
    request = IsolationRequest(
        root=project_root(Path.cwd()),
        parts=frozenset(name for name, given in chosen.items() if given),
        images=images,
        shown=tuple(str(path.absolute()) for path in shown),
        outside=outside,
        reached=reached,
        dockerd=dockerd,
    )
    if not is_root():
        require_possible(engine="engine" in request.separated)
        become_root()
    prepared = prepare(request, current_engine, lambda text: note(f"dockwright: {text}"))
    enter(prepared, command, os.environ, workers=workers)
