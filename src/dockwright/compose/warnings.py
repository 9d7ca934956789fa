"""Collects what a Compose project holds that dockwright does not use, each once."""

from __future__ import annotations

from dockwright.compose.source import DocPath, Origins, show
from dockwright.model import SpecWarning


class Warnings:
    """The warnings of one load, in the order in which they came up."""

    def __init__(self) -> None:
        self._found: dict[SpecWarning, None] = {}

    def add(self, path: DocPath, message: str, origins: Origins) -> None:
        """Note one warning about the value at `path`."""
        file, line = origins.find(path)
        self._found[SpecWarning(show(path), message, file=file, line=line)] = None

    def all(self) -> tuple[SpecWarning, ...]:
        """Return what was noted."""
        return tuple(self._found)
