"""The name of a Compose project: given, set in a file, or made from the directory's name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from dockwright.errors import ComposeError

_VALID = re.compile(r"[a-z0-9][a-z0-9_-]*")


def normalise_name(text: str) -> str:
    """Return a name with the characters that Compose allows, in lower case."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")


def name_of_directory(directory: Path) -> str:
    """Return a project name made from a directory's name.

    A name without a letter or digit of ASCII (which Compose refuses) is represented by a hash.
    """
    name = normalise_name(directory.name)
    digest = hashlib.sha256(directory.name.encode(errors="surrogateescape")).hexdigest()
    return name or f"project-{digest[:8]}"


def check_name(name: str) -> str:
    """Return a name that was given on purpose, or say what is wrong with it.

    Raises:
        ComposeError: it holds something else than lower-case letters, digits, ``-`` and ``_``.
    """
    if not _VALID.fullmatch(name):
        raise ComposeError(
            f"invalid project name {name!r}",
            hint="use lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )
    return name
