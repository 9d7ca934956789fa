"""Secrets made up for the variables that a project declares as secret."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection, Mapping

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 32
"""32 of 62 characters: 190 bits. They mean nothing to URLs, shells, SQL and YAML."""

_HEADER = "# Variables of the stack {project}. Those that are secret were made up by dockwright.\n"


def make_secret() -> str:
    """Return a fresh strong secret."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def with_secrets(text: str, values: Mapping[str, str], *, project: str) -> str:
    """Return the text of a secrets file in which `values` are set.

    Lines that set one of them are replaced; everything else stays as it is.

    Args:
        text: what the file has now; empty: there is none.
        values: by variable.
        project: the name of the project, for a new file's first line.
    """
    lines = [line for line in text.splitlines() if _variable(line) not in values]
    lines += [f"{name}={_quoted(value)}" for name, value in values.items()]
    return (_HEADER.format(project=project) if not text else "") + "\n".join(lines) + "\n"


def wanted(declared: Collection[str], known: Mapping[str, str], *, anew: bool) -> list[str]:
    """Return the declared variables that need a secret: those without a value, or all anew."""
    return [name for name in declared if anew or not known.get(name)]


def _variable(line: str) -> str:
    found = re.match(r"\s*(?:export\s+)?([\w.\-]+)\s*[=:]", line)
    return found[1] if found else ""


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.,:/@%+-]*", value):
        return value
    return "'" + value.replace("'", "\\'") + "'"
