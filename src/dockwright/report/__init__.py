"""Tells a reader what a run did and where its time went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.report.publish import publish
    from dockwright.report.terminal import summary_lines

__all__ = ["publish", "summary_lines"]

__getattr__ = lazily(__name__, {"publish": ("publish",), "terminal": ("summary_lines",)})
