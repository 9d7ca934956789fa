"""Shows progress: a live table or bar on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from dockwright.cli.output import is_terminal, note, rich_table
from dockwright.managed import Progress, Step
from dockwright.stack import Listener, UnitEvent

if TYPE_CHECKING:
    from rich.table import Table

_IMAGE_LINE_EVERY_S = 2.0
_UNCHANGED = "already running"

_WORDS: Mapping[str, str] = {
    "image": "image",
    "create": "creating",
    "start": "starting",
    "wait": "waiting",
    "ready": "ready",
    "failed": "failed",
    "called off": "called off",
}


@contextmanager
def shown(units: Sequence[str], running: Collection[str] = ()) -> Iterator[Listener]:
    """Show the events of the yielded listener on standard error.

    Args:
        units: the expected services and processes, in the order of the list.
        running: the units that already run; they are shown only if they are recreated.
    """
    if not is_terminal(sys.stderr):
        yield _Changes(running, _Lines().show)
        return
    from rich.console import Console
    from rich.live import Live

    table = _LiveTable(units)
    with Live(console=Console(stderr=True), get_renderable=table.render, refresh_per_second=8):
        yield _Changes(running, table.show)


class _Changes:
    """Passes events on, except the start of units that already run."""

    def __init__(self, running: Collection[str], listener: Listener) -> None:
        self._unchanged = set(running)
        self._listener = listener

    def __call__(self, event: UnitEvent) -> None:
        if event.state == "create":
            self._unchanged.discard(event.unit)
        if event.unit in self._unchanged and event.state in ("start", "wait"):
            return
        if event.unit in self._unchanged and event.state == "ready":
            event = replace(event, message=_UNCHANGED)
        self._listener(event)


class _Lines:
    """Prints a plain line for each change of state, and an image's progress every 2 s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown_at: dict[str, float] = {}

    def show(self, event: UnitEvent) -> None:
        with self._lock:
            if event.state == "image" and not self._is_due(event.unit):
                return
            note(f"{event.unit}: {_line(event)}")

    def _is_due(self, unit: str) -> bool:
        now = time.monotonic()
        if now - self._shown_at.get(unit, -_IMAGE_LINE_EVERY_S) < _IMAGE_LINE_EVERY_S:
            return False
        self._shown_at[unit] = now
        return True


def _line(event: UnitEvent) -> str:
    if event.state == "image":
        return _first_line(event.message)
    if event.state == "wait":
        return "started, waiting until it is ready"
    if event.state == "ready":
        return event.message or f"ready after {event.elapsed_s:.1f} s"
    return _WORDS[event.state]


class _LiveTable:
    """The last event of each unit, drawn several times a second."""

    def __init__(self, units: Sequence[str]) -> None:
        self._began = time.monotonic()
        self._events: dict[str, UnitEvent | None] = dict.fromkeys(units)
        self._took_s: dict[str, float] = {}

    def show(self, event: UnitEvent) -> None:
        self._events[event.unit] = event
        if event.state in ("ready", "failed"):
            self._took_s[event.unit] = time.monotonic() - self._began

    def render(self) -> Table:
        elapsed_s = time.monotonic() - self._began
        rows = []
        for unit, event in list(self._events.items()):
            if event is None:
                rows.append((unit, "queued", "", ""))
                continue
            seconds = self._took_s.get(unit, elapsed_s)
            message = _first_line(event.message) if event.state in ("image", "ready") else ""
            rows.append((unit, _WORDS[event.state], f"{seconds:.1f} s", message))
        return rich_table(("SERVICE", "STATE", "TIME", ""), rows)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


@contextmanager
def transfer_shown() -> Iterator[Progress]:
    """Show the yielded progress on standard error."""
    if not is_terminal(sys.stderr):
        yield Progress(on_step=lambda step: note(step.name))
        return
    from rich import progress as bars
    from rich.console import Console
    from rich.text import Text

    class Size(bars.DownloadColumn):
        def render(self, task: bars.Task) -> Text:
            return super().render(task) if task.completed else Text()

    class Rate(bars.TransferSpeedColumn):
        def render(self, task: bars.Task) -> Text:
            return super().render(task) if task.completed else Text()

    with bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        Size(),  # empty for steps that move no bytes, such as stopping a stack
        Rate(),
        bars.TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as shown:
        task: list[bars.TaskID] = []

        def begin(step: Step) -> None:
            for earlier in task:
                shown.update(earlier, total=shown.tasks[earlier].completed)
                shown.stop_task(earlier)
            task[:] = [shown.add_task(step.name, total=step.total)]

        def advance(count: int) -> None:
            shown.advance(task[0], count)

        yield Progress(on_step=begin, on_bytes=advance)
