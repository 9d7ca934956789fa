"""What to change, the largest saving first: each kind of waste has its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dockwright.profile.analysis.result import Advice, grouped
from dockwright.profile.analysis.timeline import Slice

_LEAST_S = 0.05
_LEAST_SHARE = 0.002
_REPEATED = 2
_NAMES_SHOWN = 3
_SAMPLE_S = 1.0
_ONE_SHOT_S = 0.02
"""A single statistics sample takes 20 ms if the engine's last one is older than a second; otherwise
it waits for the next second (measured on Docker 20.10). Other clients' samples count as well."""

_DETACHED = re.compile(r"-[a-zA-Z]*d[a-zA-Z]*|--detach(=true)?")
_LIFE = re.compile(
    r"POST /containers/(create\b|[^/]+/(start|stop|kill|restart)\b)|DELETE /containers/"
)


@dataclass(frozen=True, slots=True)
class _Remedy:
    """How one kind of waste is cured.

    Attributes:
        causes: whose time it is.
        select: which of it.
        subject: what belongs together.
        title: with ``{0}`` for the subject.
        many: the title for several subjects, with ``{0}`` for their number and ``{1}`` for some of
            them; empty: each is a piece of advice of its own.
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
    select: Callable[[Sequence[Slice]], Sequence[Slice]] = lambda slices: slices
    many: str = ""


def advise(slices: Sequence[Slice], wall_s: float, lanes: int) -> tuple[Advice, ...]:
    """Return what to change, largest saving first; tiny savings are left out."""
    least_s = max(_LEAST_S, _LEAST_SHARE * wall_s * lanes)
    found = [each for remedy in _REMEDIES for each in _applied(remedy, slices, lanes)]
    return tuple(
        sorted((each for each in found if each.saves_s >= least_s), key=lambda each: -each.saves_s)
    )


def _applied(remedy: _Remedy, slices: Sequence[Slice], lanes: int) -> Iterator[Advice]:
    concerned = remedy.select([piece for piece in slices if piece.cause in remedy.causes])
    by_subject = grouped(concerned, remedy.subject)
    groups: dict[str, Sequence[Slice]] = {
        remedy.title.format(subject): pieces for subject, pieces in by_subject.items()
    }
    if remedy.many and len(groups) > 1:
        groups = {remedy.many.format(len(groups), _some(by_subject)): concerned}
    for title, pieces in groups.items():
        saves_s = remedy.saves(pieces)
        yield Advice(
            title=title,
            saves_s=saves_s,
            wall_s=saves_s / lanes,
            bound=remedy.bound,
            sites=_sites(pieces),
            how=remedy.how,
            page=remedy.page,
        )


def _some(by_subject: Mapping[str, Sequence[Slice]]) -> str:
    """Return the subjects that take longest."""
    ordered = sorted(by_subject, key=lambda subject: -_all(by_subject[subject]))
    return ", ".join([*ordered[:_NAMES_SHOWN], *(["..."] if len(ordered) > _NAMES_SHOWN else [])])


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
    """Return what single samples would save, with the pauses between the calls as they are."""
    saved_s, free_since = 0.0, -_SAMPLE_S
    calls = grouped(pieces, lambda piece: piece.call).values()
    spans = [(min(each.begin for each in call), max(each.end for each in call)) for call in calls]
    for begin, end in sorted(spans):
        pause_s = max(0.0, begin - free_since)
        saved_s += max(0.0, end - begin - max(_ONE_SHOT_S, _SAMPLE_S - pause_s))
        free_since = end
    return saved_s


def _in_the_suite(slices: Sequence[Slice]) -> list[Slice]:
    """Return what the suite's author can change: not the code of installed packages."""
    return [piece for piece in slices if piece.own]


def _of_services(slices: Sequence[Slice]) -> list[Slice]:
    """Return the lives of containers, except of those that do one job and end by themselves."""
    posts = [piece for piece in slices if piece.path.startswith("POST")]
    ended = {each.container for each in posts if _calls(each, "stop", "kill", "restart")}
    jobs = {each.container for each in posts if _calls(each, "wait")} - ended
    serving = {each.site for each in posts if _starts(each) and each.container not in jobs}
    job_sites = {each.site for each in posts if each.container in jobs} - serving
    return [
        piece
        for piece in slices
        if _is_life(piece)
        and not _runs_job(piece)
        and piece.container not in jobs
        and not (_calls(piece, "create") and piece.site in job_sites)
    ]


def _calls(piece: Slice, *actions: str) -> bool:
    return piece.path.partition("?")[0].rpartition("/")[2] in actions


def _runs_job(piece: Slice) -> bool:
    """Return whether it is a ``docker run`` that waits for its container to end."""
    command = piece.command
    if command is None or command.action not in ("run", "container run"):
        return False
    return not any(_DETACHED.fullmatch(word) for word in command.arguments)


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
        select=_in_the_suite,
        many="fixed sleeps at {0} call sites",
    ),
    _Remedy(
        ("polling",),
        _site,
        "a poll loop that notices late at {0}",
        _all,
        "replace the loop with dockwright.wait_for or a poll_for_* function: they react to "
        "events, and poll adaptively otherwise",
        _WAITS,
        select=_in_the_suite,
        many="poll loops that notice late at {0} call sites",
    ),
    _Remedy(
        ("grace",),
        _container,
        "{0} ignores its stop signal until it is killed",
        _all,
        "a disposable container needs no grace period: the `stack` fixture kills it; elsewhere "
        "set `init: true` or `stop_signal: SIGKILL`, or use `docker rm -f`, `down --timeout 0`",
        "docs/explanation/starting-fast.md",
        many="{0} containers ignore their stop signal until they are killed ({1})",
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
        many="{0} containers are checked only once in a health check interval ({1})",
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
        select=_of_services,
    ),
    _Remedy(
        ("client",),
        _everything,
        "a Docker client is created repeatedly",
        _all_but_one,
        "create one in a session-scoped fixture, or use dockwright's `docker_client`",
        "docs/how-to/use-stacks-in-your-own-fixtures.md",
        select=_in_the_suite,
    ),
    _Remedy(
        ("statistics",),
        _site,
        "a statistics call that waits for a second sample at {0}",
        _but_one_shots,
        "ask docker-py for one sample: `stats(stream=False, one_shot=True)`; `docker stats` always "
        "takes two. One sample has memory, network and I/O, but its `precpu_stats` are empty: for "
        "a CPU percentage keep the sample before it. An engine takes one sample a second",
        "docs/how-to/profile-a-suite.md",
        "at most",
        select=_in_the_suite,
        many="statistics calls that wait for a second sample at {0} call sites",
    ),
    _Remedy(
        ("cleanup",),
        _site,
        "a cleanup that finds nothing to remove at {0}",
        _all,
        "clean up after use, not before: dockwright's stacks have unique names and are "
        "removed even if the tests are killed",
        "docs/how-to/clean-up-leftovers.md",
        select=_in_the_suite,
        many="cleanups that find nothing to remove at {0} call sites",
    ),
    _Remedy(
        ("pull",),
        _site,
        "an image is pulled at {0}",
        _all,
        "pull images before the tests, once per machine",
        "docs/how-to/work-offline.md",
        select=_in_the_suite,
        many="images are pulled at {0} call sites",
    ),
)
