"""What the pages about many runs are drawn with: lines and bars as SVG, and tables.

Each drawing has its numbers as a table below it: that works without scripts, with a keyboard, on a
phone, in a screen reader, and on paper.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from dockwright._text import counted, duration
from dockwright.history import Measure, Series, Week
from dockwright.report import comparison as words
from dockwright.report.summary import IN_PROCESSES
from dockwright.untrusted import printable

MOST_ROWS = 60
"""Of a table."""

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 180, 84, 26, 12
_BRIEF = 20
"""A cell of a table with as many characters stays on one line."""

_WIDEST_BAR = 110
_TWO_DAYS = 260  # the width of two of them, in the large letters of a phone
_MOST_POINTS = 400


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


def chart(line: Line, series: Series) -> str:
    """Return a line as SVG, with its title, and its values as a table."""
    if not line.points:
        return '<p class="muted">Nothing to show.</p>'
    points = _thinned(line.points)
    most = max(value for _, value in points) or 1.0
    last = max(1, len(series.runs) - 1)

    def x(at: int) -> float:
        return round(_LEFT + at / last * (_WIDTH - _LEFT - 8), 1)

    def y(value: float) -> float:
        return round(_TOP + (1 - value / most) * (_HEIGHT - _TOP - _BOTTOM), 1)

    path = "M" + "L".join(f"{x(at)} {y(value)}" for at, value in points)
    mark = ""
    if line.change is not None:
        at = x(line.change)
        mark = f'<line class="change" x1="{at}" y1="{_TOP}" x2="{at}" y2="{_HEIGHT - _BOTTOM}"/>'
    days = _days(series.runs[0].began_s, series.runs[-1].began_s)
    return (
        f"<h3>{text(line.title)}</h3>"
        f'<svg class="trend" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text(_described(line))}">{mark}<path d="{path}"/>'
        f"{_axis(line.measure, most)}{days}</svg>"
        f"<details><summary>Values</summary>{_values(line, series)}</details>"
    )


def _axis(measure: Measure, most: float) -> str:
    """Return the ground line, and labels at the height of no, half and nearly the most."""
    floor = _HEIGHT - _BOTTOM
    labels = "".join(
        f'<text x="2" y="{_TOP + (1 - part) * (floor - _TOP) + 4:.1f}">'
        f"{text(_label(measure, most * part))}</text>"
        for part in (0.0, 0.5, 0.95)
    )
    return f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - 8}" y2="{floor}"/>{labels}'


def _label(measure: Measure, value: float) -> str:
    if not value:
        return "0"
    return measure.shown(value) if measure.in_bytes else duration(value)


def _days(first_s: float, last_s: float, right: float = _WIDTH - 8) -> str:
    """Return the first and the last day, at both ends of the ground line."""
    first = f'<text x="{_LEFT}" y="{_HEIGHT - 5}">{day(first_s)}</text>'
    if day(first_s) == day(last_s) or right - _LEFT < _TWO_DAYS:
        return first
    last = f'<text x="{right:.1f}" y="{_HEIGHT - 5}" text-anchor="end">{day(last_s)}</text>'
    return first + last


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
        (day(series.runs[at].began_s), words.named(series.runs[at]), line.measure.shown(value))
        for at, value in line.points[-MOST_ROWS:]
    ]
    return table(f"The latest {counted(len(rows), 'value')}", ("day", "run", "value"), rows)


def kinds_of(weeks: Sequence[Week]) -> list[str]:
    """Return the parts of the runs' time that are not negligible, in the order of a test's life."""
    return [
        kind for kind in IN_PROCESSES if any(week.parts.get(kind, 0.0) >= 0.05 for week in weeks)
    ]


def week_bars(weeks: Sequence[Week]) -> str:
    """Return a bar for each week, divided into its parts; the table below has the numbers."""
    kinds = kinds_of(weeks)
    most = max(sum(week.parts.values()) for week in weeks)
    if not kinds or not most:
        return ""
    step = min((_WIDTH - _LEFT - 8) / len(weeks), _WIDEST_BAR)
    floor = _HEIGHT - _BOTTOM
    bars = []
    for number, week in enumerate(weeks):
        top = float(floor)
        for kind in kinds:
            height = week.parts.get(kind, 0.0) / most * (floor - _TOP)
            top -= height
            bars.append(
                f'<rect x="{_LEFT + number * step:.1f}" y="{top:.1f}" '
                f'width="{0.8 * step:.1f}" height="{height:.1f}" '
                f'style="fill:var(--{kind})"/>'
            )
    legend = "".join(
        f'<li><span class="dot" style="background:var(--{kind})"></span>{IN_PROCESSES[kind]}</li>'
        for kind in kinds
    )
    axis = _axis(Measure("start", ""), most)
    days = _days(weeks[0].began_s, weeks[-1].began_s, _LEFT + (len(weeks) - 0.2) * step)
    return (
        '<h3>Where the time of the runs went, by week</h3><svg class="trend" role="img" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-label="The parts of the runs\' time by week: the '
        f'table below has the numbers">{"".join(bars)}{axis}'
        f"{days}</svg>"
        f'<ul class="legend" aria-label="Colours">{legend}</ul>'
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that can be scrolled with the keyboard where it is wider than the screen."""
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        '<div class="wide-scroll" tabindex="0" role="region" '
        f'aria-label="{text(caption)}"><table class="small wide"><caption>{text(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(words: str) -> str:
    brief = ' class="brief"' if len(words) <= _BRIEF else ""
    return f"<td{brief}>{text(words)}</td>"


def text(words: str) -> str:
    """Return a text from outside as HTML."""
    return escape(printable(words, keep=""))


def day(seconds: float) -> str:
    """Return the day of a time since the epoch."""
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
