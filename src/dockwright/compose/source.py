"""Where a value stands in the files: paths in a document, and errors that name the place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dockwright.errors import ComposeError
from dockwright.model import SpecWarning

Tree: TypeAlias = Any
"""A YAML value: dict, list or scalar. `schema` has checked its shape before others read it."""

DocPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: ``("services", "web", "ports", 0)``."""


def show(path: Iterable[str | int]) -> str:
    """Format a path as ``services.web.ports[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_NAMED = 2  # parts of the path of one service or resource
_MAX_SPENT = 50_000
_CHARACTERS_A_VALUE = 100


class Origins:
    """The file and line of every value of one (merged) document."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._marks: dict[DocPath, tuple[Path, int]] = {}
        self._below: dict[DocPath, list[DocPath]] = {}
        self._spent = 0

    def note(self, path: DocPath, line: int) -> None:
        """Record that the value at `path` begins at `line` of this file."""
        self._mark(path, (self.file, line))

    def paths(self) -> Iterator[DocPath]:
        """Return every path whose place is known."""
        return iter(self._marks)

    def find(self, path: DocPath) -> tuple[Path, int | None]:
        """Return file and line of the value at `path`, or of the closest one around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._marks:
                return self._marks[path[:end]]
        return self.file, None

    def absorb(self, other: Origins) -> None:
        """Add the places of a document that is merged over this one.

        Entries of lists are forgotten: merging moves them, and no line is better than a wrong one.
        """
        marks = self._marks | other._marks
        self._marks, self._below = {}, {}
        for path, mark in marks.items():
            if all(isinstance(p, str) for p in path):
                self._mark(path, mark)

    def graft(self, other: Origins, source: DocPath, target: DocPath) -> None:
        """Add the places below `source` in `other`, for values that are now at `target`.

        Both are the path of one service or resource: a section and a name.
        """
        for path in tuple(other._below.get(source, ())):
            moved = target + path[_NAMED:]
            if moved not in self._marks:
                self._mark(moved, other._marks[path])

    def _mark(self, path: DocPath, mark: tuple[Path, int]) -> None:
        if path not in self._marks:
            self._below.setdefault(path[:_NAMED], []).append(path)
        self._marks[path] = mark

    def spend(self, path: DocPath, characters: int = 0, *, values: int = 1) -> None:
        """Count the values and characters that a short form at `path` has expanded to.

        Raises:
            ComposeError: the whole file has grown too large.
        """
        self._spent += values + characters // _CHARACTERS_A_VALUE
        if self._spent > _MAX_SPENT:
            message = "the file becomes too large here: variables, port ranges, env files and "
            raise self.error(path, f"{message}'extends' add more than {_MAX_SPENT:,} values")

    def error(
        self,
        path: DocPath,
        message: str,
        *,
        key: str | None = None,
        hint: str | None = None,
        kind: type[ComposeError] = ComposeError,
    ) -> ComposeError:
        """Make the error for a wrong value at `path`, or for the key `key` in it."""
        file, line = self.find((*path, key) if key else path)
        return kind(message, file=file, line=line, path=show(path) or None, hint=hint)


Form: TypeAlias = Literal["json", "yaml"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and in which form it is written."""

    path: DocPath
    origins: Origins
    form: Form

    def at(self, part: str | int) -> Place:
        """Return the place of an entry of this value."""
        return Place((*self.path, part), self.origins, self.form)


class Warnings:
    """The warnings of one load, in order."""

    def __init__(self) -> None:
        self._found: dict[SpecWarning, None] = {}

    def add(self, path: DocPath, message: str, origins: Origins) -> None:
        """Add a warning about the value at `path`."""
        file, line = origins.find(path)
        self._found[SpecWarning(show(path), message, file=file, line=line)] = None

    def all(self) -> tuple[SpecWarning, ...]:
        """Return the warnings."""
        return tuple(self._found)
