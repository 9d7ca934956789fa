"""Values of options that click does not know."""

from __future__ import annotations

import time
from datetime import datetime

import click

from dockwright._text import parse_duration
from dockwright.errors import UsageError

_DAY_S = 86_400.0


def duration(text: str) -> float:
    """Return a duration such as ``30s`` or ``1h30m`` in seconds."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r}: {exc}") from exc


def moment(text: str) -> float:
    """Return a time, or how long ago it was, in seconds since the epoch."""
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass  # not how long ago: a time, then
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r}: a time looks like 10m (ago) or 2026-01-31T08:00:00Z"
        ) from exc


def older_than_s(text: str) -> float:
    """Return an age such as ``12h`` or ``7d`` in seconds.

    Raises:
        UsageError: it is none.
    """
    days = text.strip().removesuffix("d")
    if days != text.strip() and days.isdecimal():
        return int(days) * _DAY_S
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise UsageError(
            f"--older-than {text!r}: {exc}", hint="for example: --older-than 7d"
        ) from exc
