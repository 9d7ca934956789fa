"""What a plain YAML scalar means to Compose: the rules of Go's yaml.v3, not those of YAML 1.1.

``yes`` and ``on`` are strings, ``0o17`` and ``017`` are octal, ``08`` a float, ``1:30`` a string.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TypeAlias

_WORDS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": math.nan,
    ".NaN": math.nan,
    ".NAN": math.nan,
    ".inf": math.inf,
    ".Inf": math.inf,
    ".INF": math.inf,
    "+.inf": math.inf,
    "+.Inf": math.inf,
    "+.INF": math.inf,
    "-.inf": -math.inf,
    "-.Inf": -math.inf,
    "-.INF": -math.inf,
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)"
    r"|0[oO]?(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d?-\d\d?)(?:(?:[Tt]|[ \t]+)(?P<time>\d\d?:\d\d:\d\d)(?:\.\d+)?[Zz]?)?"
)
_BASES = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}


class Moment(str):
    """A timestamp: its text is what an ``x-`` extension prints, `spoken` what a variable gets."""

    __slots__ = ("spoken",)
    spoken: str


Scalar: TypeAlias = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted, untagged scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    number = _number(text.replace("_", ""))
    return _moment(text) if number is None else number


def as_float(text: str) -> float | None:
    """Return the value of a scalar tagged ``!!float``, or None where it is no number."""
    number = resolve(text)
    return float(number) if isinstance(number, (int, float)) else None


def _number(text: str) -> int | float | None:
    match = _INTEGER.fullmatch(text)
    if match:
        base, digits = next((b, match[name]) for name, b in _BASES.items() if match[name])
        number = int(match["sign"] + digits, base)
        return number if -(2**63) <= number < 2**64 else float(number)
    return float(text) if _FLOAT.fullmatch(text) else None


def _moment(text: str) -> str:
    match = _MOMENT.fullmatch(text)
    if not match:
        return text
    try:
        when = datetime.strptime(
            f"{match['day']} {match['time'] or '00:00:00'} +0000", "%Y-%m-%d %H:%M:%S %z"
        )
    except ValueError:
        return text
    moment = Moment(when.strftime("%Y-%m-%dT%H:%M:%SZ"))
    moment.spoken = when.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return moment


def go_text(value: Scalar) -> str:
    """Write a scalar as Go's ``%v`` does, which is what a variable or label gets."""
    if isinstance(value, Moment):
        return value.spoken
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return go_float(value)
    return "" if value is None else str(value)


def go_float(value: float) -> str:
    """Write a finite float as Go's shortest ``%g``: an exponent below 1e-4 and from 1e6 on."""
    mantissa, _, exponent = f"{value:.17e}".partition("e")
    for precision in range(18):
        mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            break
    power = int(exponent)
    if value and not -4 <= power < 6:
        return f"{mantissa}e{power:+03d}"
    return f"{value:.{max(precision - power, 0)}f}"
