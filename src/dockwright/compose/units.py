"""Numbers, durations and byte sizes: read as Compose reads them, durations written as Go does."""

from __future__ import annotations

import math
import re

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # micro sign
    "\u03bcs": 10**3,  # Greek letter mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(?P<number>\d+\.?\d*|\.\d+)(?P<unit>[^\d.]+)")
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)[^\d.]+)+")
_MAX_NANOSECONDS = 2**63 - 1
_MOST_CHARACTERS = 200
_MAX_BYTES = 2**63 - 1
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[kKmMgGtTpP])?[iI]?[bB]?")
_POWERS = " kmgtp"


def parse_duration(text: str) -> int:
    """Return a duration such as ``1m30s`` in nanoseconds.

    Raises:
        ValueError: not a duration; the message says why.
    """
    if text in ("0", "+0", "-0"):
        return 0
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a duration of {len(text):,} characters is too long to read")
    if not _DURATION.fullmatch(text):
        if re.fullmatch(r"[-+]?[\d.]*\d[\d.]*", text):
            raise ValueError(f"{text!r} has no unit; write for example '{text}s'")
        raise ValueError(f"{text!r} is not a duration; write for example '1m30s'")
    total = 0
    for part in _PART.finditer(text):
        if part["unit"] not in _NANOSECONDS:
            raise ValueError(
                f"{text!r} has the unknown unit {part['unit']!r}; use h, m, s, ms, us, ns"
            )
        whole, _, fraction = part["number"].partition(".")
        unit = _NANOSECONDS[part["unit"]]
        total += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
    if total > _MAX_NANOSECONDS:
        raise ValueError(f"{text!r} is longer than the 292 years that a duration can be")
    return -total if text.startswith("-") else total


def format_duration(nanoseconds: int) -> str:
    """Write a duration as Go does: ``1m30s``, ``1h0m0s``, ``1.5s``, ``300ms``."""
    if not nanoseconds:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    rest = abs(nanoseconds)
    if rest < 10**9:
        name, unit = next(
            (n, u) for n, u in (("ms", 10**6), ("\u00b5s", 1000), ("ns", 1)) if rest >= u
        )
        return f"{sign}{_decimal(rest, unit)}{name}"
    minutes, rest = divmod(rest, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_decimal(rest, 10**9)}s"


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def parse_bytes(text: str) -> int:
    """Return a size such as ``1.5gb`` in bytes; units are powers of 1024.

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a size; write for example '64m' or '1.5gb'")
    size = float(match["number"]) * 1024 ** _POWERS.index((match["unit"] or " ").lower())
    if size > _MAX_BYTES:
        raise ValueError(f"{text!r} is larger than the maximum of 8 EiB")
    return int(size)


_TRUE = ("true", "y", "yes", "on")
_FALSE = ("false", "n", "no", "off")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS = 1000  # Python reads no longer number; leading zeros count


def to_bool(text: str) -> bool:
    """Return the truth value that a string spells."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def to_int(text: str) -> int:
    """Return the decimal integer that a string spells."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    if len(text) > _MOST_DIGITS or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text!r} is too large for an integer")
    return int(text)


def to_float(text: str) -> float:
    """Return the number that a string spells."""
    try:
        number = float(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a number") from exc
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number
