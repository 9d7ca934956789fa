"""Untrusted input: files are read up to a limit, and texts are shown without control codes.

A file that a project names may be a device that never ends or a pipe that nobody writes to, and a
name may hold codes that move a terminal's cursor or turn its text around.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

_JOINERS = "\u200c\u200d"
"""Invisible, but part of words in some scripts and of many emoji."""

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of control codes, format codes (text direction), halves of surrogate pairs
(bytes that are not UTF-8), and line and paragraph separators."""

_KINDS = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISCHR, "device"),
)


class UnreadableError(ValueError):
    """A file cannot be read as a whole; the message says why: "is a device, not a file"."""


def read_plain(file: Path, *, limit_bytes: int) -> bytes:
    """Return the content of a plain file, or nothing for the null device.

    Args:
        file: may be a symbolic link to one.
        limit_bytes: the maximum size.

    Raises:
        UnreadableError: it is not a plain file, or larger.
        OSError: it cannot be opened or read.
    """
    if "\0" in str(file):
        raise UnreadableError("has a null byte in its name")
    try:
        with open(file, "rb", opener=_without_waiting) as stream:
            content = stream.read(limit_bytes + 1)
    except IsADirectoryError as exc:
        raise UnreadableError("is a directory, not a file") from exc
    if len(content) > limit_bytes:
        raise UnreadableError(f"is larger than {limit_bytes >> 20} MiB")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a plain file or the null device; opening a named pipe would wait for a writer."""
    status = os.stat(path)  # noqa: PTH116 - what `open` calls is called with a text
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "")
    if kind and not os.path.samestat(status, os.stat(os.devnull)):  # noqa: PTH116
        raise UnreadableError(f"is a {kind}, not a file")
    return os.open(path, flags | os.O_NONBLOCK)


def json_value(
    text: str | bytes, *, hook: Callable[[dict[str, Any]], object] | None = None
) -> Any:  # whatever a JSON document may be
    """Return what a JSON text says.

    Args:
        text: may be anything.
        hook: makes each of its objects out of a dictionary.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_hook=hook)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def exists(file: Path) -> bool:
    """Return whether anything exists at a path; False for a path that no file can have."""
    return os.path.exists(file)  # noqa: PTH110 - a Path raises for a name that is too long


def is_file(file: Path) -> bool:
    """Return whether there is a plain file at a path; False for a path that no file can have."""
    return os.path.isfile(file)  # noqa: PTH113 - a Path raises for a name that is too long


def is_directory(path: Path) -> bool:
    """Return whether there is a directory at a path; False for a path that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112 - a Path raises for a name that is too long


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""Return a text with everything escaped that a terminal would interpret instead of show.

    Args:
        text: may hold anything; an escape becomes ``\x1b``, a change of direction ``\u202e``.
        keep: the control characters that stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in keep or not _is_hidden(char) else _escaped(char) for char in text
    )


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode-escape", "backslashreplace").decode("ascii")
