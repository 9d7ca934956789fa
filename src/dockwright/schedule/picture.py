"""The timeline of a plan as one HTML page without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from dockwright.schedule.model import Placed, Plan
from dockwright.schedule.outlook import Forecast
from dockwright.untrusted import printable

_WIDTH, _HEIGHT, _LEFT = 1000.0, 18.0, 40.0
_MOST_WORKERS = 200
_COLOURS = {"none": "#8a8f98", "shared": "#2f7ed8", "exclusive": "#d9822b"}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Plan of the run</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1d2129; background: #fff }}
svg {{ width: 100%; height: auto; font-size: 9px }}
rect:hover {{ stroke: #000 }}
.key span {{ padding: .1em .7em; color: #fff; border-radius: 3px; margin-right: .5em }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e6e6; background: #16181d }}
text {{ fill: #e6e6e6 }} }}
</style>
<h1>Plan of the run</h1>
<p>{title}. Predicted wall time {wall_s:.1f} s, lower bound {bound_s:.1f} s, held back by
{held_back}.</p>
<p class="key">{key}: how a test uses its stack. Point at a test to see its name.</p>
{shards}
</html>
"""


def timeline(found: Forecast, *, title: str) -> str:
    """Return a page with the tests of each worker, and when they run.

    Args:
        found: what is shown.
        title: what the costs are based on.
    """
    key = "".join(
        f'<span style="background:{each}">{name}</span>' for name, each in _COLOURS.items()
    )
    return _PAGE.format(
        title=escape(title),
        wall_s=found.wall_s,
        bound_s=found.bound_s,
        held_back=escape(printable(found.held_back_by, keep="")),
        key=key,
        shards="\n".join(_shard(number, plan) for number, plan in enumerate(found.plans, 1)),
    )


def _shard(number: int, plan: Plan) -> str:
    workers = plan.workers[:_MOST_WORKERS]
    scale = (_WIDTH - _LEFT) / max(plan.wall_s, 1e-9)
    rows = "".join(_worker(row, placed, scale) for row, placed in enumerate(workers))
    height = _HEIGHT * max(1, len(workers))
    shown = "" if len(workers) == len(plan.workers) else f", the first {_MOST_WORKERS} workers"
    return (
        f"<h2>Shard {number}: tests run for {plan.wall_s:.1f} s{shown}</h2>"
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img">{rows}</svg>'
    )


def _worker(row: int, placed: tuple[Placed, ...], scale: float) -> str:
    label = f'<text x="0" y="{row * _HEIGHT + 12:.0f}">gw{row}</text>'
    return label + "".join(_bars(row, placed, scale))


def _bars(row: int, placed: tuple[Placed, ...], scale: float) -> Iterator[str]:
    for each in placed:
        test = each.test
        kind = ("exclusive" if test.exclusive else "shared") if test.stack else "none"
        name = escape(printable(test.name, keep=""))
        yield (
            f'<rect x="{_LEFT + each.began_s * scale:.2f}" y="{row * _HEIGHT + 2:.0f}" '
            f'width="{max(0.3, test.seconds * scale - 0.3):.2f}" height="{_HEIGHT - 4:.0f}" '
            f'fill="{_COLOURS[kind]}"><title>{name}: {test.seconds:.2f} s</title></rect>'
        )
