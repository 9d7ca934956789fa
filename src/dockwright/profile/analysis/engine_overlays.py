"""Puts over the calls what the engine told: who waited for which grace, which health interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dockwright.profile.analysis.cleanups import with_vain_cleanups
from dockwright.profile.analysis.commands import Command
from dockwright.profile.analysis.facts import Container, EngineFacts, Loss
from dockwright.profile.analysis.overlays import covered
from dockwright.profile.analysis.polling import with_late_polls
from dockwright.profile.analysis.timeline import CallKey, Slice
from dockwright.profile.analysis.told import SLACK_S

Lane = list[Slice]

_STOPPERS = frozenset({"compose", "docker", "engine"})
_AWAITERS = frozenset({"compose", "docker", "awaited"})
_COMPOSE_AWAITS = frozenset(
    {"up", "start", "run", "restart", "create", "down", "stop", "rm", "kill", "wait"}
)
"""What Compose does that may wait for containers."""


@dataclass(frozen=True, slots=True)
class _Call:
    """All pieces of one call, or of one run of a poll loop."""

    lane: int
    begin: float
    end: float
    piece: Slice


def with_engine(lanes: Sequence[Lane], facts: EngineFacts | None) -> list[Lane]:
    """Return the lanes with the engine's facts put over them.

    Args:
        lanes: the slices of each.
        facts: what the engine told; None: it was not watched.
    """
    split = [list(with_late_polls(lane, facts)) for lane in lanes]
    vain = [list(with_vain_cleanups(lane, facts)) for lane in split]
    if facts is None:
        return vain
    calls = [call for number, lane in enumerate(vain) for call in _calls(number, lane)]
    covers: dict[int, list[Slice]] = defaultdict(list)
    awaiting: dict[int, list[_Call]] = defaultdict(list)
    for loss in facts.losses():
        found = _who_waited(loss, calls)
        if found is None:
            continue  # nobody waited for it: it passed behind the tests, or is another run's
        call, certain = found
        covers[call.lane].append(_cover(loss, call, certain=certain))
        awaiting[call.lane].append(call)
    return [
        list(covered(lane, covers[number], partial(_is_part_of, awaiting[number])))
        for number, lane in enumerate(vain)
    ]


def _is_part_of(calls: Iterable[_Call], piece: Slice) -> bool:
    """Tell whether a slice is one of some call, or a look that a poll loop takes between sleeps."""
    return any(
        piece.call == call.piece.call
        or (call.piece.polls and call.begin <= piece.begin and piece.end <= call.end)
        for call in calls
    )


def _cover(loss: Loss, call: _Call, *, certain: bool) -> Slice:
    return Slice(
        begin=max(loss.begin, call.begin),
        end=min(loss.end, call.end),
        cause=loss.cause,
        site=call.piece.site,
        own=bool(call.piece.site),  # no better place is known
        what=loss.container.title,
        certain=certain and loss.certain,
        call=(loss.container.id, loss.begin),
    )


def _calls(lane: int, slices: Iterable[Slice]) -> Iterator[_Call]:
    pieces: dict[CallKey, list[Slice]] = defaultdict(list)
    for each in slices:
        if each.cause in _STOPPERS | _AWAITERS:
            pieces[each.call].append(each)
    for group in pieces.values():
        yield _Call(lane, group[0].begin, group[-1].end, group[0])


def _who_waited(loss: Loss, calls: Iterable[_Call]) -> tuple[_Call, bool] | None:
    """Return the call that waited, and whether it is the only one that can have."""
    causes, at = (
        (_STOPPERS, loss.begin) if loss.cause == "grace" else (_AWAITERS, loss.end - SLACK_S)
    )
    found = [
        (_fits(call.piece, loss.container), call)
        for call in calls
        if call.piece.cause in causes and call.begin - SLACK_S <= at <= call.end + SLACK_S
    ]
    found = [each for each in found if each[0] >= 0 and each[1].begin < loss.end]
    if not found:
        return None
    fit, call = max(found, key=lambda each: (each[0], each[1].begin))
    return call, fit > 0 or len(found) == 1


def _fits(piece: Slice, container: Container) -> int:
    """Return 1 where a call names the container or its project, -1 where others, else 0."""
    if piece.cause == "engine":
        return 1 if container.is_named(piece.container) else -1
    if piece.polls:
        looked_at = [container.is_named(ref) for ref in piece.refs]
        return 0 if not looked_at else 1 if any(looked_at) else -1
    if piece.command is None:
        return -1
    if piece.cause == "compose":
        return _fits_project(piece.command, piece.cwd, container)
    names = piece.command.names
    return 0 if not names else 1 if any(container.is_named(name) for name in names) else -1


def _fits_project(command: Command, cwd: str, container: Container) -> int:
    if not container.project or command.action not in _COMPOSE_AWAITS:
        return -1
    if command.project:
        return 1 if command.project == container.project else -1
    return int(bool(container.working_dir) and container.working_dir == cwd)
