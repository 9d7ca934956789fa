"""The report as one HTML file: a template, a style and scripts, put together when it is written."""

from dockwright.report.html.page import page

__all__ = ["page"]
