"""``dockwright stack logs``: what the services of the long-lived stack wrote."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._interrupt import until_ctrl_c
from dockwright.cli._merge_logs import FollowedLogs, ServiceLine, merge_ended
from dockwright.cli._options import compose_options
from dockwright.cli._output import colours_wanted
from dockwright.cli._types import moment
from dockwright.engine import LogLine
from dockwright.errors import StackError
from dockwright.lifecycle import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import NativeProcess, Stack

_POLL_S = 0.1  # a native process's file tells nobody that it has grown
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which lines, in the words of the options."""

    tail: int | None
    since_s: float | None
    follow: bool


class _Logs(click.Command):
    """Tells those who know `docker compose logs -f` what it is called here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for here, following in zip(args, [*args[1:], "-"], strict=False):
            if here == "-f" and following.startswith("-"):
                raise click.UsageError("-f names a Compose file; --follow follows the logs", ctx)
        return super().parse_args(ctx, args)


@click.command(
    cls=_Logs,
    epilog="""\b
Examples:
  dockwright stack logs                         everything, in order of time
  dockwright stack logs web db --tail 20        the last 20 lines of each
  dockwright stack logs web --follow            until Ctrl-C, or until it ends
  dockwright stack logs --since 10m
  dockwright stack logs --since 2026-01-31T08:00:00Z --timestamps
""",
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--follow", is_flag=True, help="Go on with what they write from now on.")
@click.option(
    "-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each."
)
@click.option(
    "--since",
    "since_s",
    metavar="TIME",
    type=moment,
    help="Only lines written since then: 10m (ago), or 2026-01-31T08:00:00Z.",
)
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
def logs(
    spec: StackSpec,
    services: tuple[str, ...],
    *,
    follow: bool,
    tail: int | None,
    since_s: float | None,
    timestamps: bool,
) -> None:
    """Show what services wrote, in order of time.

    The lines of a native process bear no time: they are shown as if written when the last one was.
    """
    stack = long_lived_stack(spec, current_engine())
    names = stack.known(services) if services else _present(stack)
    show = _Printer(names, timestamps=timestamps)
    with until_ctrl_c(), ExitStack() as closing:
        sources = {
            name: _source(stack, name, _Wanted(tail, since_s, follow), closing) for name in names
        }
        merged = FollowedLogs(sources) if follow else merge_ended(sources)
        for line in merged:
            show(line, flush=follow)


def _present(stack: Stack) -> list[str]:
    names = [
        name
        for name in stack.graph.ordered()
        if name in stack.containers
        or (name in stack.processes and stack.processes[name].log.exists())
    ]
    if not names:
        raise StackError(
            f"stack {stack.spec.name} was never started",
            hint="`dockwright stack start` starts it",
        )
    return names


def _source(stack: Stack, name: str, wanted: _Wanted, closing: ExitStack) -> Iterable[LogLine]:
    if name in stack.processes:
        stopped = threading.Event()
        closing.callback(stopped.set)
        return _process_lines(stack.processes[name], wanted, stopped)
    return closing.enter_context(
        stack.log_stream(
            name, tail=wanted.tail, since_s=wanted.since_s, follow=wanted.follow, timestamps=True
        )
    )


def _process_lines(
    process: NativeProcess, wanted: _Wanted, stopped: threading.Event
) -> Iterator[LogLine]:
    if not process.log.exists():
        return
    written_s = process.log.stat().st_mtime
    with process.log.open(encoding="utf-8", errors="replace") as file:
        known: Iterable[str] = (line.rstrip("\n") for line in file)
        if wanted.tail is not None:
            known = process.last_lines(wanted.tail)
        if wanted.since_s is None or written_s >= wanted.since_s:
            yield from (LogLine("stdout", text, written_s) for text in known)
        file.seek(0, 2)
        while wanted.follow and not stopped.is_set():
            runs = process.running  # asked first: what it wrote until then is read below
            yield from (LogLine("stdout", line.rstrip("\n"), time.time()) for line in file)
            if not runs:
                return
            stopped.wait(_POLL_S)


class _Printer:
    """Writes lines to standard output, each under its service's name where there are several."""

    def __init__(self, names: list[str], *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._prefixes = dict.fromkeys(names, "")
        if len(names) > 1:
            width = max(len(name) for name in names)
            for name, colour in zip(names, cycle(_COLOURS), strict=False):
                prefix = f"{name.ljust(width)} | "
                coloured = colours_wanted(sys.stdout)
                self._prefixes[name] = click.style(prefix, fg=colour) if coloured else prefix

    def __call__(self, each: ServiceLine, *, flush: bool) -> None:
        time_s = each.line.time_s
        stamp = f"{_stamp(time_s)} " if self._timestamps and time_s is not None else ""
        # Not click.echo: a line is passed on as it was written, colours and all.
        sys.stdout.write(f"{self._prefixes[each.service]}{stamp}{each.line.text}\n")
        if flush:
            sys.stdout.flush()


def _stamp(time_s: float) -> str:
    moment = datetime.fromtimestamp(time_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
