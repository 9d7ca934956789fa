"""The summary at the end of a run, in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dockwright._text import counted
from dockwright.recording import RunRecord, Summary, TestRecord
from dockwright.report.planning import PlanReview, retrospect
from dockwright.report.summary import (
    GAPS,
    IN_BACKGROUND,
    IN_PROCESSES,
    Share,
    background_shares,
    costliest_waits,
    gap_shares,
    kinds,
    leftovers,
    never_used,
    process_shares,
    savings,
    slowest,
)

_WIDTH = 80
_MOST_WAITS = 4
_MOST_TESTS = 5
_ROOM_FOR_WORDS = 46
_WORTH_TELLING_S = 0.005
_ROOM = " " * 13


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the summary.

    Attributes:
        text: without colours.
        style: how it is shown in colours.
    """

    text: str
    style: Literal["", "heading", "bad"] = ""


def summary_lines(
    summary: Summary, wall_s: float, run: RunRecord | None = None, *, details: bool = False
) -> list[Line]:
    """Return the lines that show where the time went.

    Args:
        summary: of all processes of the run.
        wall_s: how long the run took, in seconds.
        run: its record; None: it was not recorded, and only its stacks are shown.
        details: whether to show everything that would have made it shorter.
    """
    processes = len(run.workers) if run else 1
    beside = f" in {processes} processes" if processes > 1 else ""
    parts = _of_record(run) if run else _background(background_shares(summary.stacks()))
    planned = retrospect(run) if run else None
    possible = _possible(planned) if planned else ""
    heads = [", ".join(_counts(summary)), f"wall time {wall_s:.2f} s{beside}{possible}"]
    if unused := never_used(summary.stacks()):
        heads.append(f"never used: {counted(unused, 'stack')} (spares, or starts that failed)")
    held = _held_back(planned, details=details) if planned else ()
    return [*map(Line, heads), *held, *parts, *_notes(summary)]


def _possible(planned: PlanReview) -> str:
    expected = f"predicted {planned.predicted_s:.2f} s, " if planned.predicted_s else ""
    return f"; {expected}lower bound {planned.bound_s:.2f} s"


def _held_back(planned: PlanReview, *, details: bool) -> Iterator[Line]:
    """Say what the lower bound follows from, and what would make the run shorter."""
    yield Line(f"held back by {planned.held_back_by}"[:_WIDTH])
    for change in planned.changes[: None if details else 1]:
        yield Line(f"  {change.what}: {change.seconds:.2f} s less"[:_WIDTH])
        if details:
            yield from (Line(f"    {_ending(name, _WIDTH - 4)}") for name in change.tests)


def _counts(summary: Summary) -> Iterator[str]:
    counts = summary.counts
    yield f"{counted(counts.get('started', 0), 'stack')} started"
    yield counted(counts.get("leases", 0), "lease")
    yield counted(counts.get("resets", 0), "reset")
    yield counted(counts.get("engine_calls", 0), "engine call")
    if counts.get("replaced"):
        yield f"{counted(counts['replaced'], 'broken stack')} replaced"


def _of_record(run: RunRecord) -> Iterator[Line]:
    whole_s = run.wall_s * len(run.workers)
    yield Line("time by phase", "heading")
    for share in process_shares(run):
        words = _outside(run) if share.kind == "gap" else IN_PROCESSES[share.kind]
        yield Line(_phase(share, words, whole_s))
    yield from _background(background_shares(run.stacks))
    if compared := kinds(run):
        yield Line(compared.whole)
        yield Line(f"  {compared.around}")
    waits = costliest_waits(run)[:_MOST_WAITS]
    yield from _listed("longest waits", (_wait(share) for share in waits))
    yield from _saved(run)
    tests = [test for test in slowest(run.tests, _MOST_TESTS) if test.wall_s >= _WORTH_TELLING_S]
    yield from _listed("slowest tests", map(_slow, tests))
    if left := leftovers(run):
        yield Line(f"leftovers: {left.text}", "heading" if left.none else "bad")


def _background(shares: Sequence[Share]) -> Iterator[Line]:
    """Show what happened on the stacks; it is not part of the tests' time."""
    if shares:
        yield Line("in the background, on the stacks")
        yield from (Line(_phase(share, IN_BACKGROUND[share.kind])) for share in shares)


def _phase(share: Share, words: str, whole_s: float = 0.0) -> str:
    part = f"{share.seconds / whole_s:5.0%}" if whole_s else ""
    name = "outside" if share.kind == "gap" else share.kind
    line = f"  {name:<8}{share.seconds:8.2f} s{part:5} {share.count:5d} x  {words}"
    return line[:_WIDTH].rstrip()


def _outside(run: RunRecord) -> str:
    """Say what processes did outside tests, longest first, as far as it fits."""
    words = ""
    for share in gap_shares(run):
        more = f"{words}, {_gap(share)}" if words else _gap(share)
        if len(more) > _ROOM_FOR_WORDS:
            break
        words = more
    return words


def _gap(share: Share) -> str:
    return f"{GAPS.get(share.name, share.name)} {share.seconds:.1f} s"


def _wait(share: Share) -> str:
    return f"{share.seconds:7.2f} s {share.count:4d} x  {share.name}"[: _WIDTH - 2]


def _slow(test: TestRecord) -> str:
    own = [span for span in test.spans if not span.shared]
    most = max(own, key=lambda span: span.seconds, default=None)
    note = f"  ({most.phase} {most.name}".rstrip() + f" {most.seconds:.2f} s)" if most else ""
    if len(note) > _WIDTH // 2:
        note = ""
    head = f"{test.wall_s:7.2f} s  "
    return head + _ending(test.nodeid, _WIDTH - 2 - len(head) - len(note)) + note


def _ending(text: str, room: int) -> str:
    """Return a text, or its end if it is too long: the test's name is at the end."""
    return text if len(text) <= room else "..." + text[len(text) - room + 3 :]


def _saved(run: RunRecord) -> Iterator[Line]:
    found = savings(run)
    if found:
        yield Line("saved", "heading")
    for saving in found:
        lines = textwrap.wrap(f"{saving.what}: {saving.how}", _WIDTH - len(_ROOM))
        heads = [f"  {saving.seconds:7.2f} s  ", *[_ROOM] * (len(lines) - 1)]
        yield from (Line(head + text) for head, text in zip(heads, lines, strict=True))


def _listed(title: str, rows: Iterable[str]) -> Iterator[Line]:
    found = list(rows)
    if found:
        yield Line(title, "heading")
        yield from (Line(f"  {row}") for row in found)


def _notes(summary: Summary) -> Iterator[Line]:
    for text in summary.notes:
        yield from map(Line, text.splitlines())
    for text in summary.problems:
        yield from (Line(line, "bad") for line in f"problem: {text}".splitlines())
