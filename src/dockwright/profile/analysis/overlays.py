"""Puts what is known from elsewhere over a thread's slices: children, coroutines, the engine."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from dockwright.profile.analysis.commands import Command
from dockwright.profile.analysis.polling import with_late_polls
from dockwright.profile.analysis.records import (
    SLACK_S,
    Container,
    EngineEvent,
    EngineFacts,
    EventIndex,
    Loss,
    Process,
)
from dockwright.profile.analysis.result import CAUSES
from dockwright.profile.analysis.timeline import EVENT_WAIT, CallKey, Loop, Reader, Slice


def with_children(
    slices: Iterable[Slice], children: Mapping[int, Process], reader: Reader
) -> Iterator[Slice]:
    """Look into subprocesses that had the probe as well: what they waited for was waited for.

    Args:
        slices: of one thread.
        children: the processes of the run by pid.
        reader: makes their slices.
    """
    for piece in slices:
        child = children.get(piece.pid) if piece.cause == "subprocess" else None
        if child is None:
            yield piece
            continue
        inner = with_children(reader.own_thread(child), children, reader)
        blocked = [each for each in inner if not CAUSES[each.cause].own and each.cause != "idle"]
        yield from covered([piece], blocked, lambda _: True)


def with_line_sleeps(slices: Iterable[Slice]) -> Iterator[Slice]:
    """Take the sleeps out of command lines that do other things as well: ``up -d && sleep 5``.

    How long they are the line says; that they come at its end, or its begin, is an estimate.
    """
    for piece in slices:
        command = piece.command
        asleep_s = command.asleep_s if command and command.cause != "sleep" else 0.0
        if command is None or not 0.0 < asleep_s < piece.seconds:
            yield piece  # of the two pieces of a command the longer one is the waiting
            continue
        asleep = replace(
            piece, cause="sleep", what=f"sleep {asleep_s:g}", certain=False, command=None
        )
        if command.asleep_first:
            yield replace(asleep, end=piece.begin + asleep_s)
            yield replace(piece, begin=piece.begin + asleep_s)
        else:
            yield replace(piece, end=piece.end - asleep_s)
            yield replace(asleep, begin=piece.end - asleep_s)


def with_others(
    slices: list[Slice], process: Process, reader: Reader, processes: Sequence[Process]
) -> list[Slice]:
    """Say what was waited for where a thread waited for coroutines, other threads or a pool."""
    slices = list(
        covered(
            _in_turns(slices),
            reader.coroutines(process),
            lambda each: each.cause in ("body", "fixture"),
        )
    )
    others = [*reader.other_threads(process), *_of_pools(process, reader, processes)]
    return list(
        covered(
            slices,
            [replace(each, certain=False) for each in others],
            lambda each: each.cause == "thread",
        )
    )


def _of_pools(process: Process, reader: Reader, processes: Iterable[Process]) -> Iterator[Slice]:
    """Yield what blocked the processes that multiprocessing made, and not the suite as commands."""
    commands = {span.detail.get("pid") for span in process.spans if span.kind == "spawn"}
    for each in processes:
        if each.parent == process.pid and each.pid not in commands and not each.session:
            own = reader.own_thread(each)
            yield from (piece for piece in own if not CAUSES[piece.cause].own)


def _in_turns(slices: Sequence[Slice]) -> Iterator[Slice]:
    """A loop of waits for an event that did come is no poll: the event ended it at once.

    It waits in turns only so that it can do something between them, such as handle a signal.
    """
    came: Loop | None = None
    turned: list[Slice] = []
    for piece in reversed(slices):
        if piece.cause == "thread":
            came = piece.loop
        elif piece.loop is not None and piece.loop == came and piece.what == EVENT_WAIT:
            piece = replace(piece, cause="thread")
        elif piece.loop is not None:
            came = None
        turned.append(piece)
    return reversed(turned)


def covered(
    slices: Iterable[Slice], covers: Iterable[Slice], applies: Callable[[Slice], bool]
) -> Iterator[Slice]:
    """Yield the slices, with `covers` put over those that they apply to.

    Where several covers overlap, the one that ends last is what was waited for; that is certain
    only if all say the same.

    Args:
        slices: in the order of time.
        covers: in any order.
        applies: returns whether a slice may be covered.
    """
    waiting = deque(sorted(covers, key=lambda each: each.begin))
    active: list[Slice] = []
    for piece in slices:
        while waiting and waiting[0].begin < piece.end:
            active.append(waiting.popleft())
        active = [each for each in active if each.end > piece.begin]
        if active and applies(piece):
            yield from _cut(piece, active)
        else:
            yield piece


def _cut(piece: Slice, over: Sequence[Slice]) -> Iterator[Slice]:
    """Cut a slice where a cover begins or ends; `over`: in the order of their begins."""
    edges = {piece.begin, piece.end}
    for each in over:
        edges |= {max(each.begin, piece.begin), min(each.end, piece.end)}
    waiting = deque(over)
    here: list[Slice] = []
    for begin, end in pairwise(sorted(edges)):
        while waiting and waiting[0].begin <= begin:
            here.append(waiting.popleft())
        here = [each for each in here if each.end >= end]
        if not here:
            yield replace(piece, begin=begin, end=end)
            continue
        chosen = max(here, key=lambda each: each.end)
        sited = chosen if chosen.own or not piece.site else piece
        yield replace(
            chosen,
            begin=begin,
            end=end,
            certain=chosen.certain
            and all(each.certain and each.cause == chosen.cause for each in here),
            test=piece.test,
            phase=piece.phase,
            fixture=piece.fixture,
            site=sited.site if sited.own or not piece.test else piece.test,
            own=sited.own,
        )


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
        facts: what the engine reported; None: it was not observed.
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
            continue  # no call waited for it
        call, certain = found
        covers[call.lane].append(_cover(loss, call, certain=certain))
        awaiting[call.lane].append(call)
    return [
        list(covered(lane, covers[number], partial(_is_part_of, awaiting[number])))
        for number, lane in enumerate(vain)
    ]


def _is_part_of(calls: Iterable[_Call], piece: Slice) -> bool:
    """Return whether a slice is part of a call, or a check between sleeps of a poll loop."""
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


_GONE = frozenset({"kill", "die", "stop", "destroy", "remove", "delete"})


def with_vain_cleanups(lane: Iterable[Slice], facts: EngineFacts | None) -> Iterator[Slice]:
    """Call those cleanups by their name during which nothing went away."""
    pieces = list(lane)
    ends: dict[CallKey, tuple[float, float]] = {}
    for each in pieces:
        begin, end = ends.get(each.call, (each.begin, each.end))
        ends[each.call] = min(begin, each.begin), max(end, each.end)
    gone = EventIndex(facts, _GONE)
    for each in pieces:
        begin, end = ends[each.call]
        yield replace(each, cause="cleanup") if _is_vain(each, begin, end, gone) else each


def _is_vain(piece: Slice, begin: float, end: float, gone: EventIndex) -> bool:
    """Return whether a cleanup from `begin` to `end` found nothing."""
    if piece.path.startswith("DELETE "):
        return piece.status == 404
    if piece.command is None or not piece.command.removes or not gone.complete:
        return False
    # No slack at the begin: the cleanup before may have ended just then.
    during = gone.between(begin, end + SLACK_S)
    return not any(_concerns(piece.command, each) for each in during)


def _concerns(cleanup: Command, gone: EngineEvent) -> bool:
    """Return whether a cleanup may have removed something."""
    if cleanup.project:
        return gone.is_of(cleanup.project)
    if cleanup.cause == "compose" or cleanup.action.endswith("prune") or not cleanup.names:
        return True
    return any(Container(gone.id, gone.name).is_named(name) for name in cleanup.names)
