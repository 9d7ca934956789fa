"""Tells a reader what a run did and where its time went."""

from dockwright.report.terminal import summary_lines

__all__ = ["summary_lines"]
