"""What to change, the largest saving first: each kind of waste has its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dockwright.profile.analysis.result import Advice, grouped
from dockwright.profile.analysis.timeline import Slice

_LEAST_S = 0.05
_LEAST_SHARE = 0.002
_REPEATED = 2
_ONE_SHOT_S = 0.05
"""What a statistics sample takes that does not wait for a second one, with some reserve."""

_LIFE = re.compile(
    r"POST /containers/(create\b|[^/]+/(start|stop|kill|restart)\b)|DELETE /containers/"
)


@dataclass(frozen=True, slots=True)
class _Remedy:
    """How one kind of waste is cured.

    Attributes:
        causes: whose time it is.
        concerns: which of it.
        subject: what belongs together.
        title: with ``{0}`` for the subject.
        saves: how much of the time of some slices would be saved.
        how: what to do.
        page: the how-to.
        bound: ``about`` or ``at most``.
    """

    causes: tuple[str, ...]
    subject: Callable[[Slice], str]
    title: str
    saves: Callable[[Sequence[Slice]], float]
    how: str
    page: str
    bound: str = "about"
    concerns: Callable[[Slice], bool] = lambda _: True


def advise(slices: Sequence[Slice], wall_s: float, lanes: int) -> tuple[Advice, ...]:
    """Return what to change, largest saving first; tiny savings are left out."""
    least_s = max(_LEAST_S, _LEAST_SHARE * wall_s * lanes)
    found = [each for remedy in _REMEDIES for each in _applied(remedy, slices, lanes)]
    return tuple(
        sorted((each for each in found if each.saves_s >= least_s), key=lambda each: -each.saves_s)
    )


def _applied(remedy: _Remedy, slices: Sequence[Slice], lanes: int) -> Iterator[Advice]:
    concerned = [
        piece for piece in slices if piece.cause in remedy.causes and remedy.concerns(piece)
    ]
    for subject, pieces in grouped(concerned, remedy.subject).items():
        saves_s = remedy.saves(pieces)
        yield Advice(
            title=remedy.title.format(subject),
            saves_s=saves_s,
            wall_s=saves_s / lanes,
            bound=remedy.bound,
            sites=_sites(pieces),
            how=remedy.how,
            page=remedy.page,
        )


def _sites(pieces: Iterable[Slice]) -> tuple[str, ...]:
    by_site = {
        site: sum(each.seconds for each in group)
        for site, group in grouped(pieces, lambda piece: piece.site or "(no call site)").items()
    }
    ordered = sorted(by_site.items(), key=lambda item: -item[1])
    return tuple(f"{site}: {seconds:.2f} s" for site, seconds in ordered)


def _all(pieces: Iterable[Slice]) -> float:
    return sum(piece.seconds for piece in pieces)


def _count(pieces: Iterable[Slice]) -> int:
    return len({piece.call for piece in pieces})


def _all_but_one(pieces: Sequence[Slice]) -> float:
    count = _count(pieces)
    return _all(pieces) * (count - 1) / count


def _but_first_starts(pieces: Sequence[Slice]) -> float:
    """One start and one removal are needed; where there are more, the others are not."""
    starts = len({piece.call for piece in pieces if _starts(piece)})
    return _all(pieces) * (starts - 1) / starts if starts >= _REPEATED else 0.0


def _starts(piece: Slice) -> bool:
    if piece.command is not None:
        return piece.command.action in ("up", "start", "run", "container start", "container run")
    return piece.path.startswith("POST") and piece.path.endswith("/start")


def _is_life(piece: Slice) -> bool:
    """Return whether a call creates, starts, stops or removes a container."""
    if piece.command is not None:
        return piece.command.removes or _starts(piece)
    return bool(_LIFE.match(piece.path))


def _but_one_shots(pieces: Sequence[Slice]) -> float:
    return max(0.0, _all(pieces) - _ONE_SHOT_S * _count(pieces))


def _site(piece: Slice) -> str:
    return piece.site


def _container(piece: Slice) -> str:
    return piece.what


def _everything(piece: Slice) -> str:
    del piece
    return ""


def _project(piece: Slice) -> str:
    command = piece.command
    return command.project if command and command.project else "of this directory"


_WAITS = "docs/how-to/wait-for-things.md"

_REMEDIES = (
    _Remedy(
        ("sleep",),
        _site,
        "a fixed sleep at {0}",
        _all,
        "wait for the condition instead: dockwright.wait_for(target, Log/Http/Tcp/...) or a "
        "poll_for_* function returns as soon as it holds",
        _WAITS,
        "at most",
    ),
    _Remedy(
        ("polling",),
        _site,
        "a poll loop that notices late at {0}",
        _all,
        "replace the loop with dockwright.wait_for or a poll_for_* function: they react to "
        "events, and poll adaptively otherwise",
        _WAITS,
    ),
    _Remedy(
        ("grace",),
        _container,
        "{0} ignores its stop signal until it is killed",
        _all,
        "a disposable container needs no grace period: the `stack` fixture kills it; elsewhere "
        "set `init: true` or `stop_signal: SIGKILL`, or use `docker rm -f`, `down --timeout 0`",
        "docs/explanation/starting-fast.md",
    ),
    _Remedy(
        ("health",),
        _container,
        "{0} is checked only once in a health check interval",
        _all,
        "use the `stack` fixture, which runs the declared check at once and then less and "
        "less often; elsewhere set a short `interval:`",
        "docs/explanation/starting-fast.md",
        "at most",
    ),
    _Remedy(
        ("compose",),
        _project,
        "the Compose project {0} is brought up and down repeatedly",
        _but_first_starts,
        "mark tests that only read `stateless` and let them share one `stack`; for the others "
        "dockwright resets a stack in the background instead of starting a new one",
        "docs/how-to/reset-state.md",
        "at most",
    ),
    _Remedy(
        ("engine", "docker"),
        _everything,
        "containers are started and removed repeatedly",
        _but_first_starts,
        "declare them in a Compose file and share one `stack`: `stateless` for tests that only "
        "read, a reset in the background for the others",
        "docs/how-to/declare-stacks.md",
        "at most",
        _is_life,
    ),
    _Remedy(
        ("client",),
        _everything,
        "a Docker client is created repeatedly",
        _all_but_one,
        "create one in a session-scoped fixture, or use dockwright's `docker_client`",
        "docs/how-to/use-stacks-in-your-own-fixtures.md",
    ),
    _Remedy(
        ("statistics",),
        _site,
        "a statistics call that waits for a second sample at {0}",
        _but_one_shots,
        "ask docker-py for one sample: `stats(stream=False, one_shot=True)`; `docker stats` always "
        "takes two",
        "docs/how-to/profile-a-suite.md",
    ),
    _Remedy(
        ("cleanup",),
        _site,
        "a cleanup that finds nothing to remove at {0}",
        _all,
        "clean up after use, not before: dockwright's stacks have unique names and are "
        "removed even if the tests are killed",
        "docs/how-to/clean-up-leftovers.md",
    ),
    _Remedy(
        ("pull",),
        _site,
        "an image is pulled at {0}",
        _all,
        "pull images before the tests, once per machine",
        "docs/how-to/work-offline.md",
    ),
)
