"""Volumes and devices in short form: ``data:/var/lib:ro``, ``./src:/app``, ``/dev/a:/dev/b``."""

from __future__ import annotations

import posixpath
from typing import Any

_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")


def parse_volume(text: str) -> dict[str, Any]:
    """Return the long form of one short volume.

    Raises:
        ValueError: not a volume; the message says why.
    """
    if len(text) <= 2:
        if not text:
            raise ValueError("a volume cannot be empty")
        return {"type": "volume", "target": clean_target(text)}
    sections = _sections(text)
    if "" in sections:
        raise ValueError(f"{text!r} has an empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"{text!r} has too many colons")
    source, target = ("", sections[0]) if len(sections) == 1 else (sections[0], sections[1])
    is_path = is_file_path(source)
    volume: dict[str, Any] = {"type": "bind" if is_path else "volume"}
    if source:
        volume["source"] = source
    volume["target"] = clean_target(target)
    bind: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for option in sections[2].split(",") if len(sections) == 3 else ():
        if option in ("ro", "rw"):
            volume["read_only"] = option == "ro"
        elif option == "nocopy":
            named["nocopy"] = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in _PROPAGATIONS:
            bind["propagation"] = option
    if is_path:
        bind["create_host_path"] = True
    if bind or is_path:
        volume["bind"] = bind
    if named or not is_path:
        volume["volume"] = named
    return volume


def is_file_path(source: str) -> bool:
    """Tell whether a volume's source is a path of the host rather than a volume's name."""
    if source.startswith((".", "/", "~", "\\\\")):
        return True
    return len(source) > 1 and source[0].isalpha() and source[1] == ":"


def clean_target(target: str) -> str:
    """Return a path in the container without ``..`` and doubled or trailing slashes."""
    cleaned = posixpath.normpath(target)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def parse_device(text: str) -> dict[str, str]:
    """Return the long form of one short device.

    Raises:
        ValueError: more than three sections.
    """
    source, *rest = text.split(":")
    if len(rest) > 2:
        raise ValueError(f"{text!r} has too many colons; use source, target and permissions")
    permissions = rest[1] if len(rest) == 2 else "rwm"
    return {"source": source, "target": rest[0] if rest else source, "permissions": permissions}


def _sections(text: str) -> list[str]:
    """Split at colons, but not after the letter of a Windows drive."""
    sections = [""]
    for char in text:
        drive = len(sections[-1]) == 1 and sections[-1].isalpha()
        if char == ":" and not drive:
            sections.append("")
        else:
            sections[-1] += char
    return sections
