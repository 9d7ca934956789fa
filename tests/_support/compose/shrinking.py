"""Makes a generated project smaller, as long as something still holds of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests._support.compose.grammar import Generated

_COLLECTION = re.compile(r"(?P<open>(?:[&!]\S+ )?[\[{])(?P<inside>.*)(?P<close>[\]}])", re.DOTALL)
_ENTRY = re.compile(r"(?:[^,\[\]{}\"']|\"(?:\\.|[^\"])*\"|'[^']*'|[\[{].*[\]}])+")


def shrink(made: Generated, holds: Callable[[Generated], object]) -> Generated:
    """Return a project with as few files, services, keys and entries as `holds` still accepts."""
    for candidate in _smaller(made):
        if holds(candidate):
            return shrink(candidate, holds)
    return made


def _smaller(made: Generated) -> Iterator[Generated]:
    for file, sections in made.files.items():
        for section, entries in sections.items():
            yield _changed(made, (file, section), None)
            for name, keys in entries.items():
                yield _changed(made, (file, section, name), None)
                for key, text in keys.items():
                    for shorter in (None, *_shorter(text)):
                        yield _changed(made, (file, section, name, key), shorter)


def _shorter(text: str) -> Iterator[str]:
    """Yield a list or mapping in flow style with one entry less, at any depth."""
    match = _COLLECTION.fullmatch(text)
    entries = _ENTRY.findall(match["inside"]) if match else []
    for index, entry in enumerate(entries):
        key, colon, value = entry.partition(": ")
        front = key + colon if colon else ""
        inner = _shorter(value if colon else entry.strip())
        for option in ([], *([front + shorter] for shorter in inner)):
            rest = ",".join((*entries[:index], *option, *entries[index + 1 :]))
            yield f"{match['open']}{rest}{match['close']}" if match else text


def _changed(made: Generated, path: tuple[str, ...], text: str | None) -> Generated:
    """Return a copy in which the value at `path` is another one, or gone."""
    candidate = copy.deepcopy(made)
    place: dict[str, Any] = candidate.files
    for part in path[:-1]:
        place = place[part]
    if text is None:
        del place[path[-1]]
    else:
        place[path[-1]] = text
    return candidate
