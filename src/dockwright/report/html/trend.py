"""The trend page, and the earlier runs in a run's report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from dockwright._text import counted
from dockwright.history import FlakyTest, Growth, Measure, Regressions, Trend, growths
from dockwright.report import comparison as words
from dockwright.report.html.drawings import (
    MOST_ROWS,
    Line,
    chart,
    day,
    kinds_of,
    table,
    text,
    week_bars,
)
from dockwright.report.summary import IN_PROCESSES

_MOST_IN_REPORT = 6


def trend_page(trend: Trend) -> str:
    """Return the whole page."""
    body = "\n".join(
        [
            _tiles(trend),
            _section("wall", "Whole runs", *_whole_runs(trend)),
            _section("found", "What became slower", _regressions(trend.regressions)),
            _section(
                "lines",
                "Over time",
                _grown(growths(trend.series, trend.shown)),
                *_lines(trend, len(trend.shown)),
            ),
            _section("flaky", "Flaky tests", _flaky(trend.flaky)),
        ]
    )
    style = files(__package__).joinpath("style.css").read_text("utf-8")
    return _PAGE.format(style=style, body=body)


def earlier_runs(trend: Trend) -> str:
    """Return the trend of the runs before one, for its report."""
    found, flaky = trend.regressions.found, trend.flaky
    lines = "\n".join(_lines(trend, _MOST_IN_REPORT))
    return "\n".join(
        [
            f"<h3>The {counted(trend.runs, 'run')} before this one</h3>",
            *_remarks(trend.regressions),
            *_whole_runs(trend),
            *([f"<h3>What became slower</h3>{_regressions(trend.regressions)}"] if found else []),
            *([f"<h3>Flaky tests</h3>{_flaky(flaky)}"] if flaky else []),
            f"<details><summary>What grew most, over time</summary>{lines}</details>",
        ]
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>dockwright: trend</title>
<style>
{style}
</style>
</head>
<body>
<a class="skip" href="#found">Skip to what became slower</a>
<header class="top"><h1>Trend</h1></header>
<nav aria-label="Sections of this page">
<a href="#wall">Whole runs</a> <a href="#found">Slower</a> <a href="#lines">Over time</a>
<a href="#flaky">Flaky</a>
</nav>
<main>
{body}
</main>
<footer class="muted">Made by dockwright. A test's time is its own: without waiting for a stack and
without fixtures that several tests share.</footer>
</body>
</html>
"""


def _section(name: str, title: str, *parts: str) -> str:
    inner = "\n".join(parts)
    return (
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>\n'
        f"{inner}\n</section>"
    )


def _tiles(trend: Trend) -> str:
    runs = trend.series.runs
    facts = [
        ("Runs", _how_many(trend)),
        ("Branch", runs[-1].branch or "-"),
        ("From", day(runs[0].began_s)),
        ("To", day(runs[-1].began_s)),
        ("Became slower", str(len(trend.regressions.found))),
        ("Flaky tests", str(len(trend.flaky))),
    ]
    tiles = "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    remarks = "".join(_remarks(trend.regressions))
    return f'<section aria-label="Summary"><dl class="tiles">{tiles}</dl>{remarks}</section>'


def _how_many(trend: Trend) -> str:
    drawn = len(trend.series.runs)
    return str(drawn) if drawn == trend.runs else f"{drawn} of {trend.runs}, evenly spaced"


def _remarks(result: Regressions) -> list[str]:
    return [f'<p class="notice bad">{text(line)}</p>' for line in words.regression_remarks(result)]


def _whole_runs(trend: Trend) -> Iterator[str]:
    kinds = kinds_of(trend.weeks)
    points = [(at, run.wall_s) for at, run in enumerate(trend.series.runs)]
    yield chart(Line("Wall time of each run", points, Measure("start", "")), trend.series)
    yield week_bars(trend.weeks)
    columns = ("week from", "runs", "wall", *(IN_PROCESSES[kind] for kind in kinds))
    rows = [
        (
            day(week.began_s),
            str(week.runs),
            f"{week.wall_s:.1f} s",
            *(f"{week.parts.get(kind, 0.0):.1f} s" for kind in kinds),
        )
        for week in trend.weeks
    ]
    caption = "By week: the median run. Its parts are summed over the processes that run tests"
    yield table(caption, columns, rows)


def _grown(found: Sequence[Growth]) -> str:
    rows = [words.growth_row(each) for each in found]
    columns = ("what", "runs", "first", "last", "change")
    return table("What grew most between the ends", columns, rows) if rows else ""


def _lines(trend: Trend, most: int) -> Iterable[str]:
    begins = {each.measure: each.run.id for each in trend.regressions.found}
    places = {run.id: at for at, run in enumerate(trend.series.runs)}
    for measure in trend.shown[:most]:
        points = sorted(trend.series.values[measure].items())
        change = places.get(begins.get(measure, ""))
        yield chart(Line(str(measure), points, measure, change), trend.series)
    if not trend.shown:
        yield '<p class="muted">No test was recorded in two runs.</p>'


def _regressions(result: Regressions) -> str:
    rows = words.regression_rows(result.found[:MOST_ROWS])
    if not rows:
        return f'<p class="muted">Nothing, in {counted(len(result.runs), "run")}.</p>'
    return table("The most expensive first", words.REGRESSION_COLUMNS, rows)


def _flaky(tests: Sequence[FlakyTest]) -> str:
    if not tests:
        return '<p class="muted">None.</p>'
    rows = [
        (each.nodeid, f"{each.failed} of {each.attempts}", words.why(each), each.message)
        for each in tests[:MOST_ROWS]
    ]
    return table("The worst first", ("test", "failed", "why", "last message"), rows)
