"""No key of the current Compose specification is called unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dockwright.compose.fields import PROJECT
from dockwright.compose.shapes import AnyOf, Anything, ListOf, MapOf, Shape, Struct

_KEYS = Path(__file__).with_name("specification_keys.txt")


def below(shape: Shape, part: str) -> Iterator[Shape]:
    """Yield what `shape` allows below `part`, which is a key, ``*`` or ``[]``."""
    if isinstance(shape, AnyOf):
        for option in shape.options:
            yield from below(option, part)
    elif isinstance(shape, Anything):
        yield shape
    elif isinstance(shape, ListOf) and part == "[]":
        yield shape.entry
    elif isinstance(shape, MapOf) and part == "*":
        yield shape.value
    elif isinstance(shape, Struct) and part in shape.fields:
        yield shape.fields[part]


def is_known(key: str) -> bool:
    """Tell whether the reader knows a key of the specification."""
    shapes: list[Shape] = [PROJECT]
    for part in key.split("."):
        shapes = [found for shape in shapes for found in below(shape, part)]
    return bool(shapes)


def test_every_key_of_the_specification_is_known() -> None:
    lines = _KEYS.read_text().splitlines()
    keys = [line for line in lines if not line.startswith("#")]
    assert len(keys) > 300
    assert [key for key in keys if not is_known(key)] == []


def test_an_unknown_key_is_not_known() -> None:
    assert not is_known("services.*.pre_begin")
