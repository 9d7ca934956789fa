"""How the text of one setting is read; a text that cannot be is told what one looks like."""

from __future__ import annotations

import re

COMPATIBLE = ("pytest-docker",)
"""The plugins whose fixtures can be had on dockwright's stacks."""

RECORD = ("auto", "on", "off")
"""When what a run did is recorded and kept; ``auto``: where it uses a stack."""

REPORTS = (".html", ".trace.json", ".json", ".md")
"""The ends of a report's name, each for a format."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_DURATION_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def parse_duration(text: str) -> float:
    """Read a duration such as ``10m``, ``1m30s``, ``250ms`` or ``2.5`` (seconds) as seconds.

    Raises:
        ValueError: the text is no duration; the message says how one looks.
    """
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError("a duration looks like 250ms, 30s, 10m or 1h30m")
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def parse_bool(text: str) -> bool:
    """Read ``true``, ``no``, ``on``, ``0`` and the like; an empty text is no."""
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("expected one of true, false, yes, no, on, off, 1, 0")


def parse_natural(text: str) -> int:
    """Read a whole number, 0 or more."""
    if not text.strip().isdecimal():
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def parse_stacks_limit(text: str) -> int:
    """Read ``auto`` (0) or a whole number, 1 or more."""
    if text.strip() == "auto":
        return 0
    if not text.strip().isdecimal() or int(text) == 0:
        raise ValueError("expected 'auto' or a whole number, 1 or more")
    return int(text)


def parse_compat(text: str) -> str:
    """Read the name of a plugin whose fixtures are wanted; an empty text: of none."""
    if text and text not in COMPATIBLE:
        raise ValueError(f"expected one of: {', '.join(COMPATIBLE)}")
    return text


def parse_record(text: str) -> str:
    """Read when a run is recorded."""
    if text not in RECORD:
        raise ValueError(f"expected one of: {', '.join(RECORD)}")
    return text


def parse_report(text: str) -> str:
    """Read the name of a report, whose end tells its format."""
    if not text.endswith(REPORTS):
        raise ValueError(f"expected a file whose name ends with one of: {', '.join(REPORTS)}")
    return text


def parse_collector(text: str) -> str:
    """Read an OTLP collector's address; an empty text: none."""
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("expected a collector's address, such as http://localhost:4318")
    return text
