"""Frozen dataclasses as plain JSON values and back, by their fields' types.

Known are: other such classes, tuples of one type, mappings from texts to plain values, and plain
values. Fields that have their default are left out; values that no field wants are passed over:
that is how records of older and newer versions are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dockwright.model import Json

_T = TypeVar("_T")
_Convert = Callable[[Any], Any]  # between one field's value and its JSON, each of any type

_DIGITS = 6
"""Of seconds: microseconds are finer than anything that is measured here."""


def encoded(record: object) -> dict[str, Json]:
    """Return a dataclass as JSON values."""
    found: dict[str, Json] = {}
    kind: Any = type(record)
    for name, default, write, _ in _plan(kind):
        value = getattr(record, name)
        if value != default:
            found[name] = write(value)
    return found


def decoded(kind: type[_T], values: Mapping[str, Json]) -> _T:
    """Return the dataclass that `encoded` made `values` of.

    Raises:
        ValueError: they are no such thing.
    """
    try:
        record: _T = _decoded(kind, values)
    except (TypeError, KeyError, AttributeError) as exc:
        raise ValueError(f"this is no {kind.__name__}: {exc}") from exc
    return record


def _decoded(kind: Any, values: Mapping[str, Any]) -> Any:
    return kind(**{name: read(values[name]) for name, _, _, read in _plan(kind) if name in values})


@cache
def _plan(kind: type) -> tuple[tuple[str, object, _Convert, _Convert], ...]:
    """Return each field's name, default, and how it is written and read."""
    hints = get_type_hints(kind)
    return tuple(
        (each.name, _default(each), *_converters(hints[each.name])) for each in fields(kind)
    )


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _converters(hint: Any) -> tuple[_Convert, _Convert]:
    if is_dataclass(hint):
        return encoded, partial(_decoded, hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        write, read = _converters(arguments[0])
        return (lambda many: [*map(write, many)]), (lambda many: tuple(map(read, many)))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict, dict
    if hint is float or float in arguments:
        return _rounded, _same
    return _same, _same


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _same(value: object) -> object:
    return value
