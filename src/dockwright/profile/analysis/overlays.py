"""Puts what is known from elsewhere over a thread's slices: children, coroutines, the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from dockwright.profile.analysis.causes import CAUSES
from dockwright.profile.analysis.loops import Loop
from dockwright.profile.analysis.records import Process
from dockwright.profile.analysis.timeline import EVENT_WAIT, Reader, Slice


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

    It waits in turns only so that it can do something between them, such as heed a signal.
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
        applies: tells whether a slice may be covered.
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
