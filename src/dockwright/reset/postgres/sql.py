"""Names, texts and numbers as SQL has them."""

from __future__ import annotations

from collections.abc import Collection


def identifier(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """Return a text as SQL has it, whatever the settings for strings say."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def array(numbers: Collection[int]) -> str:
    """Return numbers as an array in SQL."""
    return "'{" + ",".join(map(str, numbers)) + "}'"
