"""What holds for all tests of a run: Python, distributions, options; and variables of code."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping

from dockwright.results.distributions import Distribution
from dockwright.results.witness import INSTALLED, OWN
from dockwright.settings import OPTIONS

_ALWAYS_CHANGES = re.compile(r"_|PYTEST_.*|SHLVL|OLDPWD|COLUMNS|LINES|WINDOWID|.*_PID|SSH_.*")

# fmt: off
_OF_THE_SYSTEM = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TERM", "LANG", "LANGUAGE", "TZ",
        "TMPDIR", "EDITOR", "PAGER", "DISPLAY", "HOSTNAME", "MAIL", "CI", "VIRTUAL_ENV", "DEBUG",
    }
)
# fmt: on
"""Variables that code means only where it names them in capitals."""

_PREFIX = "DOCKWRIGHT_"
_SETTINGS = frozenset({"DOCKWRIGHT_CACHE_DIR", *(each.environment_name for each in OPTIONS)})


def base_key(counted: Mapping[str, object]) -> str:
    """Return the key of what holds for a whole run beside the installed distributions.

    Args:
        counted: what else counts beside Python, by name.
    """
    inputs = {
        "dockwright": own_source(),
        "python": sys.version,
        "platform": [sys.platform, platform.machine()],
        **counted,
    }
    text = json.dumps(inputs, sort_keys=True, default=repr)
    return digest(text)[:32]


def environment_key(base: str, found: Mapping[str, Distribution]) -> str:
    """Return the key of what holds for a whole run.

    Args:
        base: the key without the distributions.
        found: these.
    """
    contents = {name: each.content for name, each in found.items()}
    return digest(json.dumps([base, contents], sort_keys=True))[:32]


def own_source() -> str:
    """Return what stands for dockwright's own code, where it is installed from a checkout."""
    files = sorted(OWN.rglob("*.py"))
    status = ((file, file.stat()) for file in files)
    stamps = [f"{file.relative_to(OWN)} {s.st_size} {s.st_mtime_ns}" for file, s in status]
    return digest("\n".join(stamps)) if not str(OWN).startswith(INSTALLED) else ""


def names_in(words: frozenset[bytes], environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables of an environment that a text with these words may read.

    Args:
        words: of the text.
        environ: the environment.
    """
    lower = {word.lower() for word in words}
    prefixes = tuple(w.decode() for w in words if w.endswith(b"_") and w.isupper())
    return frozenset(
        name
        for name in environ
        if not _ALWAYS_CHANGES.fullmatch(name)
        and name not in _SETTINGS
        and (name.startswith(prefixes) or _is_named(name.encode(), words, lower))
    )


def own_names(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables that count for every test: ``DOCKWRIGHT_`` ones that are no settings."""
    return frozenset(name for name in environ if name.startswith(_PREFIX)) - _SETTINGS


def _is_named(name: bytes, known: frozenset[bytes], lower: set[bytes]) -> bool:
    if name.decode() in _OF_THE_SYSTEM or name.startswith((b"LC_", b"XDG_")):
        return name in known
    return name.lower() in lower


def digest(text: str) -> str:
    """Return a hash of a text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
