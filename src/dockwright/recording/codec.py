"""Frozen dataclasses as plain JSON values and back, by the types of their fields.

Fields that have their default are left out, and unknown fields are ignored: that is how one version
reads the records of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dockwright.model import Json

if TYPE_CHECKING:
    from cattrs import Converter

_T = TypeVar("_T")

_DIGITS = 6
"""Of seconds: nothing is measured more precisely than a microsecond."""


def encoded(record: object) -> dict[str, Json]:
    """Return a dataclass as JSON values."""
    return cast("dict[str, Json]", _converter().unstructure(record))


def decoded(kind: type[_T], values: object) -> _T:
    """Return the dataclass that `encoded` turned into `values`.

    Raises:
        ValueError: `values` do not describe one.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"not a {kind.__name__}: {type(values).__name__}")  # noqa: TRY004 - as documented
    try:
        return _converter().structure(values, kind)
    except Exception as exc:
        raise ValueError(f"not a {kind.__name__}: {type(exc).__name__}: {exc}") from exc


@cache
def _converter() -> Converter:
    # Takes longer to import than all of this package.
    from cattrs.preconf.json import make_converter

    converter = make_converter(omit_if_default=True, detailed_validation=False)
    converter.register_unstructure_hook(float, _rounded)
    return converter


def _rounded(seconds: Any) -> Any:  # cattrs passes any value whose field is declared as a float
    return round(seconds, _DIGITS) if isinstance(seconds, float) else seconds
