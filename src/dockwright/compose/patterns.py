"""Finds the rule for a path among patterns such as ``services.*.build.args``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from dockwright.compose.source import DocPath

Rule = TypeVar("Rule")


class Patterns(Generic[Rule]):
    """Rules by dotted path pattern; ``*`` stands for any one key or index."""

    def __init__(self, rules: Iterable[tuple[str, Rule]]) -> None:
        self._by_end: dict[tuple[int, str | int], list[tuple[tuple[str, ...], Rule]]] = {}
        for pattern, rule in rules:
            parts = tuple(pattern.split("."))
            self._by_end.setdefault((len(parts), parts[-1]), []).append((parts, rule))

    def find(self, path: DocPath) -> Rule | None:
        """Return the rule whose pattern matches the whole path, or None."""
        for end in (path[-1], "*") if path else ():
            for parts, rule in self._by_end.get((len(path), end), ()):
                if all(part in ("*", have) for part, have in zip(parts, path, strict=True)):
                    return rule
        return None
