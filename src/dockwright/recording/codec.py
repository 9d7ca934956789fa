"""Frozen dataclasses as plain JSON values and back, by their fields' types.

Known are: other such classes, tuples of one type, mappings from texts to plain values, and plain
values. Fields that have their default are left out; values that no field wants are passed over:
that is how records of older and newer versions are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dockwright.model import Json

_T = TypeVar("_T")
_Convert = Callable[[Any], Any]  # between one field's value and its JSON, each of any type

_DIGITS = 6
"""Of seconds: microseconds are finer than anything that is measured here."""


def encoded(record: object) -> dict[str, Json]:
    """Return a dataclass as JSON values."""
    kind: Any = type(record)
    values, names, defaults, writers = _writing(kind)
    return {
        name: value if write is None else write(value)
        for name, value, default, write in zip(
            names, values(record), defaults, writers, strict=True
        )
        if value != default
    }


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
def _writing(
    kind: type,
) -> tuple[_Convert, tuple[str, ...], tuple[object, ...], tuple[_Convert | None, ...]]:
    """Return what gives all values at once, and each field's name, default and writer."""
    names, defaults, writers, _ = zip(*_plan(kind), strict=True)
    plain = tuple(None if write is _same else write for write in writers)
    return attrgetter(*names), names, defaults, plain


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
