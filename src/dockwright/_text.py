"""Numbers and lists as people read them, and durations as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST_CHARACTERS = 50
_DURATION_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def parse_duration(text: str) -> float:
    """Return a duration such as ``10m``, ``1m30s``, ``250ms`` or ``2.5`` (seconds) in seconds.

    Compose files have stricter rules of their own: see `dockwright.compose.units`.

    Raises:
        ValueError: the text is not a duration; the message gives examples.
    """
    stripped = text.strip().lower()
    if len(stripped) > _MOST_CHARACTERS:  # longer numbers are infinite
        raise ValueError("expected a duration, such as 250ms, 30s, 10m or 1h30m")
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError("expected a duration, such as 250ms, 30s, 10m or 1h30m")
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def duration(seconds: float) -> str:
    """Return a short duration: ``240 ms``, ``3.2 s``."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def age(seconds: float | None) -> str:
    """Return a long duration in its two largest units: ``3d 4h``, ``12m 5s``; None: nothing."""
    if seconds is None:
        return ""
    left = int(seconds)
    parts: list[str] = []
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if left >= unit_s or (unit == "s" and not parts):
            parts.append(f"{left // unit_s}{unit}")
            left %= unit_s
    return " ".join(parts[:2])


def format_size(count: float) -> str:
    """Return a number of bytes, in powers of 1000: ``512 B``, ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def counted(number: int, one: str, many: str = "") -> str:
    """Return ``1 volume``, ``2 volumes``, ``2 processes``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
