"""Mappings that may also be written as lists: environment, labels, build args, extra hosts."""

from __future__ import annotations

from typing import Any

from dockwright.compose.scalars import go_text
from dockwright.compose.source import Tree


class Listed(dict[str, Any]):
    """Pairs that stood in a list or were merged: to Compose a list, of which it resets no entry."""


def pairs(value: Tree) -> dict[str, str | None]:
    """Return ``A=1`` lists and mappings alike as a mapping; a name without a value has None."""
    if isinstance(value, dict):
        return {name: None if entry is None else go_text(entry) for name, entry in value.items()}
    result: dict[str, str | None] = Listed()
    for entry in value or ():
        name, equals, text = go_text(entry).partition("=")
        result[name] = text if equals else None
    return result


def hosts(value: Tree) -> dict[str, list[str]]:
    """Return ``extra_hosts`` as addresses by host name.

    Raises:
        ValueError: an entry that is not ``HOST=ADDRESS`` or ``HOST:ADDRESS``.
    """
    if isinstance(value, dict):
        return {
            name: [_address(a) for a in (entry if isinstance(entry, list) else [entry])]
            for name, entry in value.items()
        }
    result: dict[str, list[str]] = Listed()
    for entry in value:
        name, found, addresses = entry.partition("=" if "=" in entry else ":")
        if not found or not name or ":" in name:
            raise ValueError(f"{entry!r} is not a host and an address, such as 'db=10.0.0.2'")
        result.setdefault(name, []).extend(map(_address, addresses.split(",")))
    return result


def _address(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
