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
    """Return what to change, the largest saving first; what saves next to nothing is left out."""
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
    """Tell whether a call makes, starts, stops or removes a container, and not what runs in it."""
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
        "wait for what the sleep hopes for: dockwright.wait_for(target, Log/Http/Tcp/...), "
        "or a poll_for_* function; it ends with the event",
        _WAITS,
        "at most",
    ),
    _Remedy(
        ("polling",),
        _site,
        "a poll loop that notices late, at {0}",
        _all,
        "replace the loop by dockwright.wait_for or a poll_for_* function: events first, then "
        "adaptive polling",
        _WAITS,
    ),
    _Remedy(
        ("grace",),
        _container,
        "{0} ignores its stop signal until it is killed",
        _all,
        "nobody needs the grace of a disposable container: the `stack` fixture kills; elsewhere "
        "set `init: true` or `stop_signal: SIGKILL`, or use `docker rm -f`, `down --timeout 0`",
        "docs/explanation/starting-fast.md",
    ),
    _Remedy(
        ("health",),
        _container,
        "{0} is looked at only once in a health interval",
        _all,
        "use the `stack` fixture, which runs the declared check at once and then ever more "
        "rarely; elsewhere set a short `interval:`",
        "docs/explanation/starting-fast.md",
        "at most",
    ),
    _Remedy(
        ("compose",),
        _project,
        "the compose project {0} is brought up and down again and again",
        _but_first_starts,
        "mark tests that only read `stateless` and let them share one `stack`; for the others "
        "dockwright resets a stack in the background instead of starting one anew",
        "docs/how-to/reset-state.md",
        "at most",
    ),
    _Remedy(
        ("engine", "docker"),
        _everything,
        "containers are started and removed again and again",
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
        "a Docker client is made again and again",
        _all_but_one,
        "make one in a fixture of scope `session`, or ask for dockwright's `docker_client`",
        "docs/how-to/use-stacks-in-your-own-fixtures.md",
    ),
    _Remedy(
        ("statistics",),
        _site,
        "a statistics sample that waits for a second one, at {0}",
        _but_one_shots,
        "ask docker-py for one sample: `stats(stream=False, one_shot=True)`; `docker stats` always "
        "takes two",
        "docs/how-to/profile-a-suite.md",
    ),
    _Remedy(
        ("cleanup",),
        _site,
        "a cleanup that finds nothing to clean, at {0}",
        _all,
        "clean up after use, not before: dockwright's stacks have names of their own and are "
        "removed whatever dies",
        "docs/how-to/clean-up-leftovers.md",
    ),
    _Remedy(
        ("pull",),
        _site,
        "an image is pulled, at {0}",
        _all,
        "pull before the tests, once a machine, and keep the images",
        "docs/how-to/work-offline.md",
    ),
)
