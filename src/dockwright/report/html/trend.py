"""The trend page: many runs as lines over time. One file without scripts that needs no network.

The lines are drawn here, as SVG, and each has its values as a table beside it: that works with a
keyboard, on a phone, in a screen reader, and on paper.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from dockwright._text import counted
from dockwright.history import FlakyTest, Measure, Regressions, Series, Trend
from dockwright.report import comparison as words
from dockwright.report.html.page import asset
from dockwright.untrusted import printable

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 180, 64, 22, 8
_MOST_POINTS = 400
_MOST_ROWS = 60
_WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        title: what it shows.
        points: the number of the run and the value, oldest first.
        measure: how values are shown.
        change: the number of the run at which a regression began; None: there is none.
    """

    title: str
    points: Sequence[tuple[int, float]]
    measure: Measure
    change: int | None = None


def trend_page(trend: Trend) -> str:
    """Return the whole page."""
    body = "\n".join(
        [
            _tiles(trend),
            _section(
                "wall", "Whole runs", _chart(_walls(trend.series), trend.series), _weeks(trend)
            ),
            _section("found", "What became slower", _regressions(trend.regressions)),
            _section("lines", "Over time", *_lines(trend)),
            _section("flaky", "Flaky tests", _flaky(trend.flaky)),
        ]
    )
    return _PAGE.format(style=asset("style.css") + _STYLE, body=body)


_STYLE = """
svg.trend { width: 100%; height: auto; max-width: 920px; display: block; }
svg.trend path { fill: none; stroke: var(--call); stroke-width: 2; }
svg.trend .change { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg.trend .axis { stroke: var(--line); stroke-width: 1; }
svg.trend text { fill: var(--muted); font-size: 12px; }
details { margin: .3rem 0 1.2rem; }
summary { cursor: pointer; min-height: 2.4rem; padding: .4rem 0; color: var(--accent); }
"""

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
        ("Runs", str(len(runs))),
        ("From", _day(runs[0].began_s) if runs else "-"),
        ("To", _day(runs[-1].began_s) if runs else "-"),
        ("Became slower", str(len(trend.regressions.found))),
        ("Flaky tests", str(len(trend.flaky))),
    ]
    tiles = "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts)
    remarks = "".join(
        f'<p class="notice bad">{_text(line)}</p>'
        for line in words.regression_remarks(trend.regressions)
    )
    return f'<section aria-label="Summary"><dl class="tiles">{tiles}</dl>{remarks}</section>'


def _walls(series: Series) -> Line:
    points = [(at, run.wall_s) for at, run in enumerate(series.runs)]
    return Line("Wall time of each run", points, Measure("start", ""))


def _weeks(trend: Trend) -> str:
    """Return the medians of each week as a table."""
    weeks: dict[int, list[int]] = {}
    for at, run in enumerate(trend.series.runs):
        weeks.setdefault(int(run.began_s // _WEEK_S), []).append(at)
    rows = [
        (
            _day(trend.series.runs[runs[0]].began_s),
            str(len(runs)),
            *(
                f"{median(part[at] for at in runs):.1f} s"
                for part in (trend.walls_s, trend.own_s, trend.queues_s)
            ),
        )
        for runs in weeks.values()
    ]
    columns = ("week from", "runs", "wall", "tests' own time", "waiting for stacks")
    return _table("By week: the median of its runs", columns, rows[-_MOST_ROWS:])


def _lines(trend: Trend) -> Iterable[str]:
    begins = {each.measure: each.run.id for each in trend.regressions.found}
    places = {run.id: at for at, run in enumerate(trend.series.runs)}
    for measure in trend.shown:
        points = sorted(trend.series.values[measure].items())
        change = places.get(begins.get(measure, ""))
        yield _chart(Line(str(measure), points, measure, change), trend.series)
    if not trend.shown:
        yield '<p class="muted">No test was recorded in two runs.</p>'


def _chart(line: Line, series: Series) -> str:
    """Return a line as SVG, with its title, and its values as a table."""
    if not line.points:
        return '<p class="muted">There is nothing to show.</p>'
    points = _thinned(line.points)
    most = max(value for _, value in points) or 1.0
    last = max(1, len(series.runs) - 1)

    def x(at: int) -> float:
        return round(_LEFT + at / last * (_WIDTH - _LEFT - 8), 1)

    def y(value: float) -> float:
        return round(_TOP + (1 - value / most) * (_HEIGHT - _TOP - _BOTTOM), 1)

    path = "M" + "L".join(f"{x(at)} {y(value)}" for at, value in points)
    floor = _HEIGHT - _BOTTOM
    marks = f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - 8}" y2="{floor}"/>'
    if line.change is not None:
        at = x(line.change)
        marks += f'<line class="change" x1="{at}" y1="{_TOP}" x2="{at}" y2="{floor}"/>'
    labels = "".join(
        f'<text x="2" y="{y(most * part) + 4}">{_text(line.measure.shown(most * part))}</text>'
        for part in (0.0, 0.5, 0.95)
    )
    days = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 5}">{_day(series.runs[0].began_s)}</text>'
        f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 5}" text-anchor="end">'
        f"{_day(series.runs[-1].began_s)}</text>"
    )
    return (
        f"<h3>{_text(line.title)}</h3>"
        f'<svg class="trend" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{_text(_described(line))}">{marks}<path d="{path}"/>{labels}{days}</svg>'
        f"<details><summary>Values</summary>{_values(line, series)}</details>"
    )


def _described(line: Line) -> str:
    first, last = line.points[0][1], line.points[-1][1]
    changed = " It became slower at the dashed line." if line.change is not None else ""
    ends = f"the first {line.measure.shown(first)}, the last {line.measure.shown(last)}"
    return f"{line.title}: {counted(len(line.points), 'value')}, {ends}.{changed}"


def _thinned(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Return every point, or the medians of as many stretches as a screen can show."""
    step = math.ceil(len(points) / _MOST_POINTS)
    groups = [points[at : at + step] for at in range(0, len(points), step)]
    return [(group[len(group) // 2][0], median(value for _, value in group)) for group in groups]


def _values(line: Line, series: Series) -> str:
    rows = [
        (_day(series.runs[at].began_s), words.named(series.runs[at]), line.measure.shown(value))
        for at, value in line.points[-_MOST_ROWS:]
    ]
    return _table(f"The latest {counted(len(rows), 'value')}", ("day", "run", "value"), rows)


def _regressions(result: Regressions) -> str:
    rows = words.regression_rows(result.found[:_MOST_ROWS])
    if not rows:
        return f'<p class="muted">Nothing, in {counted(len(result.runs), "run")}.</p>'
    return _table("The most expensive first", words.REGRESSION_COLUMNS, rows)


def _flaky(tests: Sequence[FlakyTest]) -> str:
    if not tests:
        return '<p class="muted">None.</p>'
    rows = [
        (each.nodeid, f"{each.failed} of {each.attempts}", f"{each.cause}: {each.detail}",
         each.message)
        for each in tests[:_MOST_ROWS]
    ]  # fmt: skip
    return _table("The worst first", ("test", "failed", "why", "last message"), rows)


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide-scroll"><table class="small wide"><caption>{_text(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _text(text: str) -> str:
    return escape(printable(text, keep=""))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
