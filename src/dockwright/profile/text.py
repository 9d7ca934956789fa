"""The profile as text for a terminal: where the time went, and what to change."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from dockwright._text import counted
from dockwright.profile.analysis import CAUSES, Profile
from dockwright.profile.analysis.result import Advice, TestTotal

_LEAST_SHOWN_S = 0.005
_SIDE_BY_SIDE = 2
_WIDEST = 98
_NARROWEST = 40


def render(profile: Profile, *, colours: bool = False, rows: int = 10, width: int = _WIDEST) -> str:
    """Return the report.

    Args:
        profile: what to show.
        colours: whether headings and savings are coloured.
        rows: how many rows a table of call sites, tests, fixtures or advice has at most.
        width: of the terminal; sentences are wrapped at it, or earlier.
    """
    paint = _Paint(colours)
    width = min(max(width, _NARROWEST), _WIDEST)
    blocks = [
        _head(profile, paint, width),
        _causes(profile, paint),
        _sites(profile, rows, paint),
        _tests(profile, rows, paint),
        _fixtures(profile, rows, paint),
        _advice(profile, rows, paint, width),
    ]
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines) + "\n"


class _Paint:
    """Styles of words, or plain text."""

    def __init__(self, colours: bool) -> None:  # noqa: FBT001 - the only thing that it is about
        self._colours = colours

    def heading(self, text: str) -> str:
        return click.style(text, bold=True) if self._colours else text

    def saving(self, text: str) -> str:
        return click.style(text, fg="green", bold=True) if self._colours else text

    def faint(self, text: str) -> str:
        return click.style(text, dim=True) if self._colours else text


def _head(profile: Profile, paint: _Paint, width: int) -> Iterator[str]:
    yield paint.heading(f"Profile of: {profile.command}")
    lanes = f"{profile.lanes} parallel processes" if profile.lanes > 1 else "one process"
    yield (
        f"{profile.wall_s:.2f} s of wall time, {counted(len(profile.tests), 'test')}, {lanes}, "
        f"exit code {profile.exit_code}"
    )
    for note in _notes(profile):
        yield from textwrap.wrap(note, width, break_on_hyphens=False)


def _notes(profile: Profile) -> Iterator[str]:
    """Yield what a reader has to know of how it was seen."""
    if profile.interrupted:
        yield "Interrupted: the profile covers the time until then."
    if profile.engine == "no":
        yield (
            "No engine was observed, so stop grace periods and health check intervals are not "
            "shown separately."
        )
    elif profile.engine == "incomplete":
        yield "Some engine events were lost; grace periods and health intervals may be missing."
    if not profile.processes:
        yield "No Python process could be observed (python -I, -E and -S switch the probe off)."
    elif not profile.tests:
        yield (
            "No test was observed. Tools that clear the environment keep the probe out; with tox, "
            "add -x testenv.pass_env+=PYTHONPATH,DOCKWRIGHT_PROFILE_DIR"
        )


def _causes(profile: Profile, paint: _Paint) -> Iterator[str]:
    whole_s = profile.wall_s * profile.lanes
    over = f", {profile.lanes} x {profile.wall_s:.2f} s" if profile.lanes > 1 else ""
    yield paint.heading(f"Where the time went (each second counted once{over})")
    for total in profile.causes:
        if total.seconds < _LEAST_SHOWN_S:
            continue
        estimated_s = total.seconds - total.certain_s
        note = "" if estimated_s < _LEAST_SHOWN_S else f"  {estimated_s:.2f} s of it estimated"
        count = f"{total.count:5d} x" if total.count else " " * 7
        share = _share(total.seconds, whole_s)
        title = CAUSES[total.cause].title
        yield f"  {title:<30}{total.seconds:9.2f} s {share} {count}{note}".rstrip()


def _share(seconds: float, whole_s: float) -> str:
    return f"{100 * seconds / whole_s:5.1f} %" if whole_s else ""


def _sites(profile: Profile, rows: int, paint: _Paint) -> Iterator[str]:
    sites = [each for each in profile.sites if each.seconds >= _LEAST_SHOWN_S]
    if not sites:
        return
    yield paint.heading("Most expensive call sites")
    for each in sites[:rows]:
        about = " " if each.certain_s >= each.seconds * 0.99 else "~"
        what = f"{CAUSES[each.cause].title}: {each.what}"
        yield f"  {each.seconds:8.2f} s{about} {each.count:5d} x  {what}"
        yield paint.faint(f"{' ' * 22}{each.site}")
    yield from _rest(len(sites), rows)


def _tests(profile: Profile, rows: int, paint: _Paint) -> Iterator[str]:
    if not profile.tests:
        return
    yield paint.heading("Slowest tests (seconds = setup + body + teardown, avoidable seconds)")
    for each in profile.tests[:rows]:
        yield _test(each, each.test)
    yield from _rest(len(profile.tests), rows)
    if len(profile.tests) > 1:
        yield _test(_summed(profile.tests), f"all {len(profile.tests)} tests")


def _test(total: TestTotal, name: str) -> str:
    phases = f"{total.setup_s:.2f} + {total.call_s:.2f} + {total.teardown_s:.2f}"
    return f"  {total.seconds:8.2f} s = {phases:<22} {total.waste_s:7.2f} s  {name}"


def _summed(tests: Sequence[TestTotal]) -> TestTotal:
    return TestTotal(
        test="",
        seconds=sum(each.seconds for each in tests),
        setup_s=sum(each.setup_s for each in tests),
        call_s=sum(each.call_s for each in tests),
        teardown_s=sum(each.teardown_s for each in tests),
        waste_s=sum(each.waste_s for each in tests),
        causes={},
    )


def _fixtures(profile: Profile, rows: int, paint: _Paint) -> Iterator[str]:
    fixtures = [each for each in profile.fixtures if each.seconds >= _LEAST_SHOWN_S]
    if not fixtures:
        return
    yield paint.heading("Fixtures (seconds without the fixtures they request, avoidable seconds)")
    for each in fixtures[:rows]:
        set_up = f"set up {each.setups} x"
        yield f"  {each.seconds:8.2f} s {each.waste_s:8.2f} s  {each.fixture}, {set_up}"
    yield from _rest(len(fixtures), rows)


def _advice(profile: Profile, rows: int, paint: _Paint, width: int) -> Iterator[str]:
    yield paint.heading("What to change (largest saving first)")
    if not profile.advice:
        yield "  Nothing: found no waste that is worth a change."
    first_of: dict[str, int] = {}
    for number, each in enumerate(profile.advice[:rows], 1):
        yield from _one(number, each, profile.lanes, paint, width)
        yield from _how(each, first_of.setdefault(each.how, number), number, width)
    yield from _rest(len(profile.advice), rows)


def _one(number: int, advice: Advice, lanes: int, paint: _Paint, width: int) -> Iterator[str]:
    saving = f"saves {advice.bound} {advice.saves_s:.2f} s"
    if lanes >= _SIDE_BY_SIDE:
        saving += f" ({advice.wall_s:.2f} s of wall time)"
    first, *rest = _wrapped(f"{saving}: {advice.title}", width)
    yield f"{number:3}. {first.strip()}".replace(saving, paint.saving(saving), 1)
    yield from rest
    if len(advice.sites) > 1 or advice.sites[0].rpartition(":")[0] not in advice.title:
        for site in _shortened(advice.sites):
            yield paint.faint(f"       {site}")


def _how(advice: Advice, first: int, number: int, width: int) -> Iterator[str]:
    """Yield the remedy; if several pieces of advice share it, only the first shows it."""
    if first < number:
        yield f"     same remedy as in {first}."
        return
    yield from _wrapped(advice.how, width)
    yield f"     see {advice.page}"


def _wrapped(text: str, width: int) -> list[str]:
    margin = " " * 5
    return textwrap.wrap(
        text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


def _shortened(sites: Sequence[str], most: int = 3) -> list[str]:
    more = len(sites) - most
    return [*sites[:most], *([f"and {counted(more, 'more call site')}"] if more > 0 else [])]


def _rest(number: int, rows: int) -> Iterator[str]:
    if number > rows:
        yield f"  ... and {number - rows} more (--rows {number} shows them, --json has all)"
