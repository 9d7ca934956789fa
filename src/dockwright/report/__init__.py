"""Reports what a run did and where its time went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.report.comparison import regressed
    from dockwright.report.otlp import require
    from dockwright.report.publish import properties, publish
    from dockwright.report.terminal import Line, summary_lines

__all__ = [
    "Line",
    "properties",
    "publish",
    "regressed",
    "require",
    "summary_lines",
]

__getattr__ = lazily(
    __name__,
    {
        "comparison": ("regressed",),
        "otlp": ("require",),
        "publish": (
            "properties",
            "publish",
        ),
        "terminal": (
            "Line",
            "summary_lines",
        ),
    },
)
