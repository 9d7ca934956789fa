"""``dockwright stack logs``: the logs of the services of a long-lived stack."""

from __future__ import annotations

import heapq
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle

import click

from dockwright.cli.errors import until_ctrl_c
from dockwright.cli.options import compose_options, current_engine, moment
from dockwright.cli.output import colours_wanted
from dockwright.engine import LogLine
from dockwright.errors import DockwrightError, StackError
from dockwright.managed import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import NativeProcess, Stack

_PATIENCE_S = 0.1
"""How long a line waits for an older line of a silent service while logs are followed."""

_READ_AHEAD = 256
"""How many lines of each service are read ahead."""


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """One line and the service that wrote it."""

    service: str
    line: LogLine

    @property
    def time_s(self) -> float:
        """When the line was written; a line without a time comes first."""
        return self.line.time_s or 0.0


def merge_ended(logs: Mapping[str, Iterable[LogLine]]) -> Iterator[ServiceLine]:
    """Yield the lines of finite logs ordered by time; hold one line of each in memory."""
    labelled = [_labelled(service, lines) for service, lines in logs.items()]
    return heapq.merge(*labelled, key=lambda each: each.time_s)


def _labelled(service: str, lines: Iterable[LogLine]) -> Iterator[ServiceLine]:
    return (ServiceLine(service, line) for line in lines)


class FollowedLogs:
    """Yields the lines of endless logs, ordered by time as far as waiting 0.1 s allows.

    Each log is read in its own thread, at most 256 lines ahead.

    Args:
        logs: the lines of each service; ends when all of them end.
    """

    def __init__(self, logs: Mapping[str, Iterable[LogLine]]) -> None:
        self._changed = threading.Condition()
        self._pending: dict[str, deque[ServiceLine]] = {service: deque() for service in logs}
        self._open = set(logs)
        self._silent_since = dict.fromkeys(logs, time.monotonic())
        self._failure: DockwrightError | None = None
        for service, lines in logs.items():
            # Daemon threads: waiting for a silent service must not keep the command alive.
            threading.Thread(target=self._read, args=(service, lines), daemon=True).start()

    def __iter__(self) -> Iterator[ServiceLine]:
        """Yield lines until every log has ended.

        Raises:
            DockwrightError: reading a log failed.
        """
        while (line := self._next()) is not None:
            yield line
        if self._failure is not None:
            raise self._failure

    def _read(self, service: str, lines: Iterable[LogLine]) -> None:
        pending = self._pending[service]
        try:
            for line in _labelled(service, lines):
                with self._changed:
                    self._changed.wait_for(lambda: len(pending) < _READ_AHEAD)
                    pending.append(line)
                    self._changed.notify_all()
        except DockwrightError as failure:
            self._failure = failure
        finally:
            with self._changed:
                self._open.discard(service)
                self._changed.notify_all()

    def _next(self) -> ServiceLine | None:
        with self._changed:
            while True:
                heads = [pending[0] for pending in self._pending.values() if pending]
                if not heads and not self._open:
                    return None
                patience_s = self._patience_s()
                if heads and patience_s <= 0:
                    return self._take(min(heads, key=lambda head: head.time_s).service)
                self._changed.wait(patience_s if heads else None)

    def _patience_s(self) -> float:
        """Return how much longer to wait for an older line of a silent service, in seconds."""
        silent = [self._silent_since[each] for each in self._open if not self._pending[each]]
        return max(silent, default=-_PATIENCE_S) + _PATIENCE_S - time.monotonic()

    def _take(self, service: str) -> ServiceLine:
        line = self._pending[service].popleft()
        self._silent_since[service] = time.monotonic()
        self._changed.notify_all()
        return line


_POLL_S = 0.1  # nothing notifies us when the log file of a native process grows
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which lines to show, as the options say."""

    tail: int | None
    since_s: float | None
    follow: bool


class _Logs(click.Command):
    """Explains `-f` to users of `docker compose logs -f`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for here, following in zip(args, [*args[1:], "-"], strict=False):
            if here == "-f" and following.startswith("-"):
                raise click.UsageError("-f takes a Compose file; to follow logs, use --follow", ctx)
        return super().parse_args(ctx, args)


@click.command(
    cls=_Logs,
    epilog="""\b
Examples:
  dockwright stack logs                         everything, ordered by time
  dockwright stack logs web db --tail 20        the last 20 lines of each
  dockwright stack logs web --follow            until Ctrl-C, or until web exits
  dockwright stack logs --since 10m
  dockwright stack logs --since 2026-01-31T08:00:00Z --timestamps
""",
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--follow", is_flag=True, help="Keep printing new lines.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only the last N lines of each service.",
)
@click.option(
    "--since",
    "since_s",
    metavar="TIME",
    type=moment,
    help="Only lines since a time: 10m (ago) or 2026-01-31T08:00:00Z.",
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
    """Show the logs of services, ordered by time.

    The lines of a native process have no times: all of them get the time of the last one.
    """
    stack = long_lived_stack(spec, current_engine())
    names = stack.known(services) if services else _present(stack)
    show = _Printer(names, timestamps=timestamps)
    with until_ctrl_c(), ExitStack() as closing:
        sources = {
            name: _source(stack, name, _Selection(tail, since_s, follow), closing) for name in names
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
            hint="start it with `dockwright stack start`",
        )
    return names


def _source(stack: Stack, name: str, selected: _Selection, closing: ExitStack) -> Iterable[LogLine]:
    if name in stack.processes:
        stopped = threading.Event()
        closing.callback(stopped.set)
        return _process_lines(stack.processes[name], selected, stopped)
    return closing.enter_context(
        stack.log_stream(
            name,
            tail=selected.tail,
            since_s=selected.since_s,
            follow=selected.follow,
            timestamps=True,
        )
    )


def _process_lines(
    process: NativeProcess, selected: _Selection, stopped: threading.Event
) -> Iterator[LogLine]:
    if not process.log.exists():
        return
    written_s = process.log.stat().st_mtime
    with process.log.open(encoding="utf-8", errors="replace") as file:
        existing: Iterable[str] = (line.rstrip("\n") for line in file)
        if selected.tail is not None:
            existing = process.last_lines(selected.tail)
        if selected.since_s is None or written_s >= selected.since_s:
            yield from (LogLine("stdout", text, written_s) for text in existing)
        file.seek(0, 2)
        while selected.follow and not stopped.is_set():
            runs = process.running  # before the read, which then gets all that it wrote
            yield from (LogLine("stdout", line.rstrip("\n"), time.time()) for line in file)
            if not runs:
                return
            stopped.wait(_POLL_S)


class _Printer:
    """Writes lines to standard output, with the name of the service if there are several."""

    def __init__(self, names: list[str], *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._prefixes = dict.fromkeys(names, "")
        if len(names) > 1:
            width = max(len(name) for name in names)
            for name, colour in zip(names, cycle(_COLOURS), strict=False):
                prefix = f"{name.ljust(width)} | "
                coloured = colours_wanted(sys.stdout)
                self._prefixes[name] = click.style(prefix, fg=colour) if coloured else prefix

    def __call__(self, line: ServiceLine, *, flush: bool) -> None:
        time_s = line.line.time_s
        stamp = f"{_stamp(time_s)} " if self._timestamps and time_s is not None else ""
        # Not click.echo: lines are passed on as they were written, with their colours.
        sys.stdout.write(f"{self._prefixes[line.service]}{stamp}{line.line.text}\n")
        if flush:
            sys.stdout.flush()


def _stamp(time_s: float) -> str:
    moment = datetime.fromtimestamp(time_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
