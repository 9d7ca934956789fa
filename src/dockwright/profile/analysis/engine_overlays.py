"""Splits calls and poll loops by what the engine told: graces, health intervals, vain cleanups."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from dockwright.profile.analysis.commands import Command
from dockwright.profile.analysis.facts import Container, EngineFacts, Happening, Loss
from dockwright.profile.analysis.overlays import covered
from dockwright.profile.analysis.timeline import CallKey, Slice

Lane = list[Slice]

_SLACK_S = 0.02
"""How far an event may lie outside the call that it belongs to: two clocks are compared."""

_STOPPERS = frozenset({"compose", "docker", "engine"})
_AWAITERS = frozenset({"compose", "docker", "awaited"})
_COMPOSE_AWAITS = frozenset(
    {"up", "start", "run", "restart", "create", "down", "stop", "rm", "kill", "wait"}
)
"""What Compose does that may wait for containers."""

_TELLING = frozenset({"start", "die", "destroy", "health_status", "oom"})
_GONE = frozenset({"kill", "die", "stop", "destroy", "remove", "delete"})
_REF = re.compile(r"/containers/([^/?]+)")


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
    split = [list(_polls_split(lane, facts)) for lane in lanes]
    vain = [list(_vain_cleanups(lane, facts)) for lane in split]
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
        (_STOPPERS, loss.begin) if loss.cause == "grace" else (_AWAITERS, loss.end - _SLACK_S)
    )
    found = [
        (_fits(call.piece, loss.container), call)
        for call in calls
        if call.piece.cause in causes and call.begin - _SLACK_S <= at <= call.end + _SLACK_S
    ]
    found = [each for each in found if each[0] >= 0 and each[1].begin < loss.end]
    if not found:
        return None
    fit, call = max(found, key=lambda each: (each[0], each[1].begin))
    return call, fit > 0 or len(found) == 1


def _fits(piece: Slice, container: Container) -> int:
    """Return 1 where a call names the container or its project, -1 where others, else 0."""
    if piece.cause == "engine":
        named = _REF.search(piece.path)
        return 1 if named and _is_named(container, named[1]) else -1
    if piece.polls:
        looked_at = [_is_named(container, ref) for ref in piece.refs]
        return 0 if not looked_at else 1 if any(looked_at) else -1
    if piece.command is None:
        return -1
    if piece.cause == "compose":
        return _fits_project(piece.command, piece.cwd, container)
    names = piece.command.names
    return 0 if not names else 1 if any(_is_named(container, name) for name in names) else -1


def _fits_project(command: Command, cwd: str, container: Container) -> int:
    if not container.project or command.action not in _COMPOSE_AWAITS:
        return -1
    if command.project:
        return 1 if command.project == container.project else -1
    return int(bool(container.working_dir) and container.working_dir == cwd)


def _is_named(container: Container, ref: str) -> bool:
    return ref == container.name or (len(ref) >= 3 and container.id.startswith(ref))


def _vain_cleanups(lane: Iterable[Slice], facts: EngineFacts | None) -> Iterator[Slice]:
    """Call those cleanups by their name during which nothing went away."""
    pieces = list(lane)
    ends: dict[CallKey, tuple[float, float]] = {}
    for each in pieces:
        begin, end = ends.get(each.call, (each.begin, each.end))
        ends[each.call] = min(begin, each.begin), max(end, each.end)
    gone = _Told(facts, _GONE)
    for each in pieces:
        begin, end = ends[each.call]
        yield replace(each, cause="cleanup") if _is_vain(each, begin, end, gone) else each


def _is_vain(piece: Slice, begin: float, end: float, gone: _Told) -> bool:
    """Tell whether a cleanup from `begin` to `end` found nothing."""
    if piece.path.startswith("DELETE "):
        return piece.status == 404
    if piece.command is None or not piece.command.removes or not gone.complete:
        return False
    # No slack at the begin: the cleanup before may have ended just then.
    during = gone.between(begin, end + _SLACK_S)
    return not any(_concerns(piece.command, each) for each in during)


def _concerns(cleanup: Command, gone: Happening) -> bool:
    """Tell whether a cleanup may have been what let something go."""
    if cleanup.project:
        return gone.is_of(cleanup.project)
    if cleanup.cause == "compose" or cleanup.action.endswith("prune") or not cleanup.names:
        return True
    return any(_is_named(Container(gone.id, gone.name), name) for name in cleanup.names)


class _Told:
    """The events of some actions, found by their time."""

    def __init__(self, facts: EngineFacts | None, actions: Collection[str]) -> None:
        happenings = facts.happenings if facts else ()
        self._events = [each for each in happenings if each.action in actions]
        self.complete = facts is not None and facts.complete

    def between(self, begin: float, end: float) -> list[Happening]:
        """Return those from `begin` to `end`."""
        first = bisect_left(self._events, begin, key=lambda each: each.at_s)
        last = bisect_right(self._events, end, key=lambda each: each.at_s)
        return self._events[first:last]


def _polls_split(lane: Sequence[Slice], facts: EngineFacts | None) -> Iterator[Slice]:
    """Split each run of a poll loop where what it waited for came true: after that it was late."""
    runs = _runs(lane)
    telling = _Told(facts, _TELLING)
    truths: dict[CallKey, tuple[float, bool]] = {}
    for piece in lane:
        run = runs.get(id(piece))
        if run is None:
            yield piece
            continue
        if run.key not in truths:
            truths[run.key] = run.true_at(telling)
        true_at, certain = truths[run.key]
        piece = replace(
            piece,
            call=run.key,
            refs=tuple(run.refs),
            certain=certain or piece.end <= run.last.begin,
        )
        if piece.begin < true_at:
            yield replace(piece, end=min(true_at, piece.end))
        if piece.end > true_at:
            yield replace(piece, begin=max(true_at, piece.begin), cause="polling")


@dataclass(slots=True)
class _Run:
    """The sleeps of one run through a poll loop, and the containers that were looked at between."""

    sleeps: list[Slice]
    looks: list[Slice] = field(default_factory=list)  # since the last sleep
    refs: set[str] = field(default_factory=set)
    by_state: bool = True  # what it looks at are states, of which the engine tells each change

    @property
    def key(self) -> CallKey:
        """What all its pieces have in common."""
        return ("poll", *self.sleeps[0].call)

    @property
    def last(self) -> Slice:
        """The sleep after which it was so."""
        return self.sleeps[-1]

    def sleep(self, piece: Slice) -> None:
        """Take in the next sleep: what was called since the last one was called in the loop."""
        for each in self.looks:
            self._take(each)
        self.looks.clear()
        self.sleeps.append(piece)

    def look(self, piece: Slice) -> None:
        """Take in what is called after a sleep: by the loop, or after it."""
        if piece.loop is not None and piece.loop == self.last.loop:
            self._take(piece)
        elif _looked_at(piece):
            self.looks.append(piece)

    def _take(self, piece: Slice) -> None:
        self.refs.update(_looked_at(piece))
        if piece.path and not piece.path.partition("?")[0].endswith("/json"):
            self.by_state = False  # a log, or what a command says: no event tells of that

    def true_at(self, telling: _Told) -> tuple[float, bool]:
        """Return when it came true, and whether the engine told; else half of a sleep was late."""
        told = [
            each.at_s
            for each in telling.between(self.sleeps[0].begin, self.last.end)
            if self.by_state and self._looked_at(each)
        ]
        if told:
            return max(told), True
        return (self.last.begin + self.last.end) / 2, False

    def _looked_at(self, happening: Happening) -> bool:
        container = Container(happening.id, happening.name)
        return any(_is_named(container, ref) for ref in self.refs)


def _runs(lane: Sequence[Slice]) -> dict[int, _Run]:
    """Return the run of each slice that is a poll loop's sleep, by the slice's identity."""
    found: dict[int, _Run] = {}
    current: _Run | None = None
    for piece in lane:
        if not piece.polls:
            if current is not None:
                current.look(piece)
            continue
        if current is None or not _goes_on(current.last, piece):
            current = _Run([])
        current.sleep(piece)
        found[id(piece)] = current
    return found


def _goes_on(before: Slice, piece: Slice) -> bool:
    return (before.loop, before.test, before.phase) == (piece.loop, piece.test, piece.phase)


def _looked_at(piece: Slice) -> Collection[str]:
    if piece.path.startswith("GET ") and (named := _REF.search(piece.path)):
        return (named[1],)
    if piece.command is not None and piece.command.action in ("inspect", "container inspect"):
        return piece.command.arguments
    return ()
