"""Shows how far a backup or a restore is: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dockwright.cli._output import is_terminal, note
from dockwright.lifecycle import Progress, Step


@contextmanager
def transfer_shown() -> Iterator[Progress]:
    """Show, on standard error, what the yielded progress is told."""
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
        Size(),  # of steps that move bytes: stopping and starting a stack has neither
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
