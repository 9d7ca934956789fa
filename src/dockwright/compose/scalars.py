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
_TIME = r"\d\d?:\d\d?:\d\d?"
_FRACTION = r"(?:[.,](?P<{0}>\d+))?"
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d?-\d\d?)"
    rf"(?:[Tt](?P<time>{_TIME}){_FRACTION.format('part')}(?P<zone>Z|[-+]\d\d:\d\d)"
    rf"| +(?P<bare>{_TIME}){_FRACTION.format('rest')})?"
)
_MOST_DIGITS = 250
"""Longer integers go the way of floats: they fit into no integer of Go, whatever their base."""

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
    number = _number(text if text[0] == "." else text.replace("_", ""))
    return _moment(text) if number is None else number


def as_float(text: str) -> float | None:
    """Return the value of a scalar tagged ``!!float``, or None where it is no number."""
    number = resolve(text)
    return float(number) if isinstance(number, (int, float)) else None


def _number(text: str) -> int | float | None:
    match = _INTEGER.fullmatch(text)
    if match and len(text) <= _MOST_DIGITS:
        base, digits = next((b, match[name]) for name, b in _BASES.items() if match[name])
        number = int(match["sign"] + digits, base)
        return number if -(2**63) <= number < 2**64 else float(number)
    real = float(text) if _FLOAT.fullmatch(text) else math.inf
    return real if math.isfinite(real) else None


def _moment(text: str) -> str:
    match = _MOMENT.fullmatch(text)
    if not match:
        return text
    time = match["time"] or match["bare"] or "0:0:0"
    zone = (match["zone"] or "Z").replace("Z", "+00:00")
    try:
        when = datetime.strptime(f"{match['day']} {time} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return text
    digits = (match["part"] or match["rest"] or "")[:9].rstrip("0")
    fraction = f".{digits}" if digits else ""
    utc = not when.utcoffset()
    offset = when.strftime("%z")
    moment = Moment(f"{when:%Y-%m-%dT%H:%M:%S}{fraction}{'Z' if utc else zone}")
    moment.spoken = f"{when:%Y-%m-%d %H:%M:%S}{fraction} {offset} {'UTC' if utc else offset}"
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
