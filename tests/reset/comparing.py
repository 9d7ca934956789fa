"""Compares two long texts so that a failure shows what differs, not where the first lines are."""

from __future__ import annotations

from difflib import unified_diff


def assert_same(before: str, after: str) -> None:
    """Fail with the lines that differ."""
    lines = list(unified_diff(before.splitlines(), after.splitlines(), "before", "after", n=0))
    assert not lines, "\n".join(lines)
