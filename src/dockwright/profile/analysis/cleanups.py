"""Tells the cleanups that found nothing to clean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dockwright.profile.analysis.commands import Command
from dockwright.profile.analysis.facts import Container, EngineFacts, Happening
from dockwright.profile.analysis.timeline import CallKey, Slice
from dockwright.profile.analysis.told import SLACK_S, Told

_GONE = frozenset({"kill", "die", "stop", "destroy", "remove", "delete"})


def with_vain_cleanups(lane: Iterable[Slice], facts: EngineFacts | None) -> Iterator[Slice]:
    """Call those cleanups by their name during which nothing went away."""
    pieces = list(lane)
    ends: dict[CallKey, tuple[float, float]] = {}
    for each in pieces:
        begin, end = ends.get(each.call, (each.begin, each.end))
        ends[each.call] = min(begin, each.begin), max(end, each.end)
    gone = Told(facts, _GONE)
    for each in pieces:
        begin, end = ends[each.call]
        yield replace(each, cause="cleanup") if _is_vain(each, begin, end, gone) else each


def _is_vain(piece: Slice, begin: float, end: float, gone: Told) -> bool:
    """Tell whether a cleanup from `begin` to `end` found nothing."""
    if piece.path.startswith("DELETE "):
        return piece.status == 404
    if piece.command is None or not piece.command.removes or not gone.complete:
        return False
    # No slack at the begin: the cleanup before may have ended just then.
    during = gone.between(begin, end + SLACK_S)
    return not any(_concerns(piece.command, each) for each in during)


def _concerns(cleanup: Command, gone: Happening) -> bool:
    """Tell whether a cleanup may have been what let something go."""
    if cleanup.project:
        return gone.is_of(cleanup.project)
    if cleanup.cause == "compose" or cleanup.action.endswith("prune") or not cleanup.names:
        return True
    return any(Container(gone.id, gone.name).is_named(name) for name in cleanup.names)
