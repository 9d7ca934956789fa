"""Splits the sleeps of poll loops where what they waited for came true: after that it was late."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dockwright.profile.analysis.records import Container, EngineEvent, EngineFacts, EventIndex
from dockwright.profile.analysis.timeline import CallKey, Slice

_STATE_EVENTS = frozenset({"start", "die", "destroy", "health_status", "oom"})


def with_late_polls(lane: Sequence[Slice], facts: EngineFacts | None) -> Iterator[Slice]:
    """Split each run of a poll loop where what it waited for came true: after that it was late."""
    runs = _runs(lane)
    events = EventIndex(facts, _STATE_EVENTS)
    truths: dict[CallKey, tuple[float, bool]] = {}
    for piece in lane:
        run = runs.get(id(piece))
        if run is None:
            yield piece
            continue
        if run.key not in truths:
            truths[run.key] = run.true_at(events)
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
    by_state: bool = True  # it checks states, whose changes are engine events

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
            self.by_state = False  # a log or the output of a command: there is no event

    def true_at(self, events: EventIndex) -> tuple[float, bool]:
        """Return when it came true, and whether an event shows it; if not, after half a sleep."""
        times = [
            each.at_s
            for each in events.between(self.sleeps[0].begin, self.last.end)
            if self.by_state and self._looked_at(each)
        ]
        if times:
            return max(times), True
        return (self.last.begin + self.last.end) / 2, False

    def _looked_at(self, happening: EngineEvent) -> bool:
        container = Container(happening.id, happening.name)
        return any(container.is_named(ref) for ref in self.refs)


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
    if piece.path.startswith("GET ") and piece.container:
        return (piece.container,)
    if piece.command is not None and piece.command.action in ("inspect", "container inspect"):
        return piece.command.arguments
    return ()
