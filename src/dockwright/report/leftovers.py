"""What a run has left behind, in words."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.measure import RunRecord
from dockwright.report.digest import counted


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a run has left behind.

    Attributes:
        text: it, in words.
        none: whether that is nothing.
    """

    text: str
    none: bool


def leftovers(run: RunRecord) -> Leftovers | None:
    """Return what is left of the run; None where the pool's end was not awaited."""
    if not run.stacks:
        return None
    stay = _staying(run)
    if stay:
        return Leftovers(f"{counted(len(stay), 'stack')}: {', '.join(stay)}", none=False)
    if run.problems:
        return Leftovers(f"{counted(len(run.problems), 'problem')} while removing", none=False)
    removed = sum(span.phase == "cleanup" for stack in run.stacks for span in stack.spans)
    return Leftovers(f"none ({counted(removed, 'stack')} removed)", none=True)


def _staying(run: RunRecord) -> list[str]:
    """Return the projects of the copies that nobody has removed."""
    return [
        stack.project
        for stack in run.stacks
        if stack.spans and not any(span.phase == "cleanup" for span in stack.spans)
    ]
