"""Which sleeps stand in a loop that can end before its time: they poll, all others are fixed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.profile.analysis.records import PACKAGES, Frame

_HOW_FAR_OUT = 4
"""How many callers are looked at: a helper that sleeps may itself be called in the loop."""

_Loop = ast.While | ast.For | ast.AsyncFor
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that polls: where it is, and the call of its function that ran it."""

    file: str
    line: int
    identity: int


@dataclass(slots=True)
class Loops:
    """Finds loops in sources; each file is read once."""

    _files: dict[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)

    def polling(self, frames: Sequence[Frame]) -> Loop | None:
        """Return the innermost polling loop around a sleep; None where it is a fixed one."""
        for frame in _callers(frames):
            around = [
                (first, last)
                for first, last, function in self._loops(frame.file)
                if first <= frame.line <= last and function <= frame.line
            ]
            if around:
                first, _ = max(around)
                return Loop(frame.file, first, frame.identity)
        return None

    def _loops(self, file: str) -> tuple[tuple[int, int, int], ...]:
        if file not in self._files:
            self._files[file] = tuple(_read_loops(file))
        return self._files[file]


def _callers(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Yield the suite's own callers, and before them a library that polls for it (tenacity)."""
    own_seen = False
    for frame in frames[:_HOW_FAR_OUT]:
        own_seen = own_seen or frame.own
        if frame.own or (not own_seen and PACKAGES in frame.file):
            yield frame


def _read_loops(file: str) -> Iterator[tuple[int, int, int]]:
    """Yield the first and last line of each polling loop, and the first of its function."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # made at run time, or gone
    yield from _polling_loops(tree, 0)


def _polling_loops(node: ast.AST, function: int) -> Iterator[tuple[int, int, int]]:
    for child in ast.iter_child_nodes(node):
        inner = child.lineno if isinstance(child, _Function) else function
        if isinstance(child, _Loop) and _can_end_early(child):
            yield child.lineno, child.end_lineno or child.lineno, inner
        yield from _polling_loops(child, inner)


def _can_end_early(loop: _Loop) -> bool:
    if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant):
        return True
    return any(_leaves(node) for node in loop.body)


def _leaves(node: ast.AST) -> bool:
    """Tell whether a statement may leave the loop that it stands in."""
    if isinstance(node, ast.Break | ast.Return):
        return True
    if isinstance(node, _Function | ast.ClassDef | _Loop):
        # An inner loop's break is its own; a return in it leaves ours as well.
        return isinstance(node, _Loop) and any(
            isinstance(each, ast.Return) for each in ast.walk(node)
        )
    return any(_leaves(child) for child in ast.iter_child_nodes(node))
