"""The HTML report: one file with everything in it, that asks nobody for anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from dockwright.measure import PastTest, RunRecord
from dockwright.report.html.columns import columns

_SCRIPTS = ("model.js", "format.js", "summary.js", "timeline.js", "charts.js", "tests.js", "app.js")
"""In the order in which they are read; each adds to the ones before."""


def page(run: RunRecord, past: Sequence[PastTest] = ()) -> str:
    """Return the whole page.

    Args:
        run: what happened.
        past: what the same tests did in earlier runs, the latest first.
    """
    return Template(_asset("page.html")).substitute(
        style=_asset("style.css"),
        data=embedded(columns(run, past)),
        script="\n".join(_asset(name) for name in _SCRIPTS),
    )


def embedded(value: object) -> str:
    """Return JSON that can stand within a ``<script>``, whatever texts it holds.

    No ``<`` is left in it: no text can end the element or open a comment there. Of the characters
    that JSON allows and old JavaScript does not, none is left either.
    """
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
