"""The summary at the end of a run, as lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator

from dockwright.measure import PHASES, Summary

_BEHIND = {"start", "wait", "reset", "cleanup"}


def summary_lines(summary: Summary, wall_s: float) -> list[str]:
    """Return the lines that tell where the time went.

    Args:
        summary: of all processes of the run.
        wall_s: how long the run took, in seconds.
    """
    return [*_counts(summary), *_phases(summary), f"wall time {wall_s:.2f} s", *_notes(summary)]


def _counts(summary: Summary) -> Iterator[str]:
    counts = summary.counts
    parts = [
        _plural(counts.get("started", 0), "stack", "started"),
        _plural(counts.get("leases", 0), "lease"),
        _plural(counts.get("resets", 0), "reset"),
        _plural(counts.get("engine_calls", 0), "engine call"),
    ]
    if counts.get("replaced"):
        parts.append(_plural(counts["replaced"], "broken stack", "replaced"))
    yield ", ".join(parts)


def _phases(summary: Summary) -> Iterator[str]:
    for phase, total in summary.totals.items():
        note = " (behind the tests)" if phase in _BEHIND else ""
        each_s = total.seconds / max(1, total.count)
        yield (
            f"  {phase:<8}{total.seconds:8.2f} s = {total.count:4d} x {each_s:7.3f} s  "
            f"{PHASES[phase]}{note}"
        )


def _notes(summary: Summary) -> Iterator[str]:
    for text in summary.notes:
        yield from text.splitlines()
    for text in summary.problems:
        yield from f"problem: {text}".splitlines()


def _plural(count: int, noun: str, verb: str = "") -> str:
    words = f"{count} {noun}{'' if count == 1 else 's'}"
    return f"{words} {verb}".rstrip()
