"""The part "History" of the HTML report: the tests of a run beside their earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from statistics import median

from dockwright._text import counted
from dockwright.history import Measure, Thresholds, Trend
from dockwright.recording import PastTest, RunRecord
from dockwright.report.html.trend import earlier_runs
from dockwright.untrusted import printable

_MOST_ROWS = 20
_FEWEST = 3  # the median of less says nothing


def history_part(run: RunRecord, past: Sequence[PastTest], trend: Trend | None = None) -> str:
    """Return the part as HTML: how the run differs from earlier ones, and the trend of these.

    Args:
        run: what happened.
        past: what the same tests did in earlier runs.
        trend: of the earlier runs; None: there are none.
    """
    before = "" if trend is None else earlier_runs(trend)
    return _differences(run, past) + before


def _differences(run: RunRecord, past: Sequence[PastTest]) -> str:
    """Return the tests that differ most from the median of their earlier runs."""
    runs = len({test.run for test in past})
    rows = _rows(run, past)
    if not rows:
        return (
            '<p class="muted">No test differs from the median of its earlier runs by 10 % and '
            f"50 ms; {counted(runs, 'earlier run')} recorded.</p>"
        )
    body = "".join(_row(cells) for cells in rows)
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Test", "Usual", "Now", "Change"))
    return (
        '<div class="wide-scroll"><table class="small"><caption>Tests that took longer or shorter '
        f"than the median of the last {counted(runs, 'run')}; whether that is chance: "
        f"<code>dockwright runs compare</code></caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _rows(run: RunRecord, past: Sequence[PastTest]) -> list[Sequence[str]]:
    usual: dict[str, list[float]] = {}
    for each in past:
        if each.outcome == "passed":
            usual.setdefault(each.nodeid, []).append(each.wall_s)
    differences = []
    for test in run.tests:
        values = usual.get(test.nodeid, ())
        if test.outcome == "passed" and len(values) >= _FEWEST:
            middle = median(values)
            if Thresholds().matters(Measure("test", test.nodeid), middle, test.wall_s):
                differences.append((test.nodeid, middle, test.wall_s))
    differences.sort(key=lambda each: each[1] - each[2])
    return [
        (nodeid, f"{before:.2f} s", f"{now:.2f} s", f"{(now / max(before, 1e-6) - 1):+.0%}")
        for nodeid, before, now in differences[:_MOST_ROWS]
    ]


def _row(cells: Iterable[str]) -> str:
    inner = "".join(f"<td>{escape(printable(cell, keep=''))}</td>" for cell in cells)
    return f"<tr>{inner}</tr>"
