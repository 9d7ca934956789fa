"""The causes that time is attributed to: what a test waited for, or its own work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from dockwright.profile.analysis.timeline import Slice


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why time went.

    Attributes:
        title: how it is called in tables.
        waste: whether time spent so can be saved, as far as is known.
        own: whether it is the suite's own work, within which others may have been waited for.
    """

    title: str
    waste: bool = True
    own: bool = False


CAUSES: Mapping[str, Cause] = {
    "sleep": Cause("fixed sleeps"),
    "health": Cause("health check intervals"),
    "grace": Cause("stop grace periods"),
    "polling": Cause("polling: noticed late"),
    "awaited": Cause("polling: not ready yet", waste=False),
    "compose": Cause("docker compose"),
    "docker": Cause("docker commands"),
    "cleanup": Cause("cleanups that found nothing"),
    "statistics": Cause("blocking statistics samples"),
    "pull": Cause("image pulls"),
    "client": Cause("creating clients"),
    "engine": Cause("engine calls"),
    "subprocess": Cause("other subprocesses", waste=False),
    "thread": Cause("waiting for threads", waste=False),
    "fixture": Cause("fixture code", waste=False, own=True),
    "body": Cause("test code", waste=False, own=True),
    "collection": Cause("collection", waste=False),
    "pytest": Cause("pytest itself", waste=False, own=True),
    "program": Cause("other Python programs", waste=False, own=True),
    "idle": Cause("idle workers", waste=False),
    "outside": Cause("outside test processes", waste=False),
}
"""Every cause by its name, in the order of tables that have no better one."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class CauseTotal:
    """One cause, summed: how long, how often, how much of it is measured and not estimated."""

    cause: str
    seconds: float
    count: int
    certain_s: float


@dataclass(frozen=True, slots=True)
class SiteTotal:
    """One cause at one call site."""

    cause: str
    site: str
    what: str
    seconds: float
    count: int
    certain_s: float
    tests: int


@dataclass(frozen=True, slots=True)
class TestTotal:
    """One test: its phases, and how much of them each cause took."""

    test: str
    seconds: float
    setup_s: float
    call_s: float
    teardown_s: float
    waste_s: float
    causes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FixtureTotal:
    """One fixture, without those that it asks for: how long its set-ups and teardowns took.

    Attributes:
        fixture: its name and scope.
        seconds: how long in all.
        waste_s: how much of that can be saved, as far as is known.
        setups: for how many tests it was set up: those of its scope that follow find it there.
    """

    fixture: str
    seconds: float
    waste_s: float
    setups: int


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to change.

    Attributes:
        title: what costs time.
        saves_s: how much less time would be spent, over all lanes.
        wall_s: how much earlier the run would end, if the lanes share the gain.
        bound: ``about``, or ``at most`` where something must still be waited for.
        sites: where, with how much of it each has.
        how: what to do.
        page: the how-to.
    """

    title: str
    saves_s: float
    wall_s: float
    bound: str
    sites: tuple[str, ...]
    how: str
    page: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the wall time of a command went.

    Attributes:
        command: its command line, without secrets.
        exit_code: its own.
        interrupted: whether it was ended by Ctrl-C.
        wall_s: how long it took.
        lanes: how many processes ran tests side by side; all sums are over all lanes, so that they
            add up to ``wall_s * lanes``.
        processes: how many Python processes were seen.
        engine: whether an engine was watched: ``yes``, ``no`` or ``incomplete``.
        causes: by cause, the largest first.
        sites: by call site, the largest first.
        tests: by test, the longest first.
        fixtures: by fixture, the longest first.
        advice: what to change, the largest saving first.
    """

    command: str
    exit_code: int
    interrupted: bool
    wall_s: float
    lanes: int
    processes: int
    engine: str
    causes: tuple[CauseTotal, ...]
    sites: tuple[SiteTotal, ...]
    tests: tuple[TestTotal, ...]
    fixtures: tuple[FixtureTotal, ...]
    advice: tuple[Advice, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def cause_totals(slices: Iterable[Slice]) -> tuple[CauseTotal, ...]:
    """Sum by cause, the largest first."""
    return _largest(
        CauseTotal(cause, _sum(each), _calls(each), _certain(each))
        for cause, each in grouped(slices, lambda piece: piece.cause).items()
    )


def site_totals(slices: Iterable[Slice]) -> tuple[SiteTotal, ...]:
    """Sum by call site and cause, the largest first."""
    sited = grouped(
        (piece for piece in slices if piece.site),
        lambda piece: (piece.cause, piece.site, piece.what),
    )
    return _largest(
        SiteTotal(*key, _sum(each), _calls(each), _certain(each), _tests(each))
        for key, each in sited.items()
    )


def test_totals(slices: Iterable[Slice]) -> tuple[TestTotal, ...]:
    """Sum by test, the longest first."""
    by_test = grouped((piece for piece in slices if piece.test), lambda piece: piece.test)
    return _largest(_test(test, pieces) for test, pieces in by_test.items())


def fixture_totals(slices: Iterable[Slice]) -> tuple[FixtureTotal, ...]:
    """Sum by fixture, the longest first."""
    by_fixture = grouped((piece for piece in slices if piece.fixture), lambda piece: piece.fixture)
    return _largest(
        FixtureTotal(fixture, _sum(pieces), waste(pieces), _tests(_set_up(pieces)))
        for fixture, pieces in by_fixture.items()
    )


def _set_up(pieces: Iterable[Slice]) -> list[Slice]:
    return [piece for piece in pieces if piece.phase != "teardown"]


def grouped(slices: Iterable[Slice], key: Callable[[Slice], Key]) -> dict[Key, list[Slice]]:
    """Return the slices by `key`."""
    groups: dict[Key, list[Slice]] = defaultdict(list)
    for piece in slices:
        groups[key(piece)].append(piece)
    return dict(groups)


def waste(slices: Iterable[Slice]) -> float:
    """Return how much of the time can be saved, as far as is known, in seconds."""
    return _sum(piece for piece in slices if CAUSES[piece.cause].waste)


def _test(test: str, pieces: Sequence[Slice]) -> TestTotal:
    setup_s, call_s, teardown_s = (
        _sum(piece for piece in pieces if piece.phase == phase)
        for phase in ("setup", "call", "teardown")
    )
    causes = {total.cause: total.seconds for total in cause_totals(pieces)}
    return TestTotal(test, _sum(pieces), setup_s, call_s, teardown_s, waste(pieces), causes)


def _largest(totals: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(totals, key=lambda total: -total.seconds))


def _sum(slices: Iterable[Slice]) -> float:
    return sum(piece.seconds for piece in slices)


def _certain(slices: Iterable[Slice]) -> float:
    return _sum(piece for piece in slices if piece.certain)


def _calls(slices: Iterable[Slice]) -> int:
    return len({piece.call for piece in slices if piece.call})


def _tests(slices: Iterable[Slice]) -> int:
    return len({piece.test for piece in slices if piece.test})
