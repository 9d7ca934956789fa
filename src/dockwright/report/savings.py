"""What dockwright saved in a run, and from which measurements that follows.

Nothing is claimed that does not follow from times measured in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from dockwright.measure import RunRecord, Span, StackRecord

_WORTH_TELLING_S = 0.05


@dataclass(frozen=True, slots=True)
class Saving:
    """Time that a run did not take.

    Attributes:
        seconds: how much.
        what: against what.
        how: from which measurements that follows.
    """

    seconds: float
    what: str
    how: str

    def __str__(self) -> str:
        return f"saved {self.seconds:.1f} s {self.what}: {self.how}"


def savings(run: RunRecord) -> list[Saving]:
    """Return what can be told, the largest first."""
    found = [*_sharing(run), *_resets_behind(run)]
    worth = [saving for saving in found if saving.seconds >= _WORTH_TELLING_S]
    return sorted(worth, key=lambda saving: -saving.seconds)


def _sharing(run: RunRecord) -> Iterator[Saving]:
    """Compare with a stack of its own for each lease, started as these were."""
    boots = [boot.seconds for stack in run.stacks for boot in starts(stack)]
    leases = sum(span.phase == "lease" for stack in run.stacks for span in stack.spans)
    resets = [span.seconds for span in _whole_resets(run)]
    if not boots or leases <= len(boots):
        return
    boot_s, reset_s = median(boots), sum(resets)
    how = f"{leases} leases of {len(boots)} started (median {boot_s:.2f} s)"
    if resets:
        how += f", less {reset_s:.2f} s for {len(resets)} resets"
    yield Saving(
        (leases - len(boots)) * boot_s - reset_s, "of starting a new stack for each lease", how
    )


def _resets_behind(run: RunRecord) -> Iterator[Saving]:
    """Compare with resets that the next test waits for."""
    total_s = sum(span.seconds for span in _whole_resets(run))
    waited_s = sum(
        span.seconds
        for test in run.tests
        for span in test.spans
        if span.phase == "queue" and span.name == "resetting"
    )
    yield Saving(
        total_s - waited_s,
        "of waiting for resets",
        f"they took {total_s:.2f} s, and tests waited {waited_s:.2f} s for them",
    )


def starts(stack: StackRecord) -> list[Span]:
    """Return how long it took each time until the stack could be used."""
    return [span for span in stack.spans if span.phase == "start" and not span.name]


def _whole_resets(run: RunRecord) -> Iterator[Span]:
    for stack in run.stacks:
        yield from (span for span in stack.spans if span.phase == "reset" and not span.name)
