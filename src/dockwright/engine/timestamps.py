"""The engine's times: RFC 3339 with nanoseconds."""

from __future__ import annotations

import re
from datetime import datetime

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ?")


def split_time(text: str) -> tuple[float | None, str]:
    """Take a time off the front of `text`.

    Returns:
        Seconds since the epoch, or None where `text` does not begin with a time; and the rest.
    """
    found = _TIME.match(text)
    if found is None:
        return None, text
    seconds = datetime.fromisoformat(found[1] + found[3]).timestamp() + float(found[2] or 0)
    return seconds, text[found.end() :]


def parse_time(text: str) -> float | None:
    """Return a time in seconds since the epoch; None for no time, and for Go's zero time."""
    seconds, _ = split_time(text)
    return seconds if seconds is not None and seconds > 0 else None
