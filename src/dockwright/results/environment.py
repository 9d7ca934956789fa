"""What holds for all tests of a run: Python, distributions, options; and variables of code."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from dockwright.results.witness import INSTALLED, OWN
from dockwright.settings import OPTIONS

_OWN_LINES = re.compile(r"^(\.\./.*|[^,]*\.dist-info/.*|[^,]*__pycache__/.*)$", re.MULTILINE)
"""What installers write differently from machine to machine: scripts, and notes of their own."""

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


def environment_key(told: Mapping[str, object]) -> str:
    """Return the key of what holds for a whole run.

    Args:
        told: what else counts beside Python and the installed distributions, by name.
    """
    inputs = {
        "dockwright": own_source(),
        "python": sys.version,
        "platform": [sys.platform, platform.machine()],
        "distributions": distributions(sys.path),
        **told,
    }
    text = json.dumps(inputs, sort_keys=True, default=repr)
    return digest(text)[:32]


def own_source() -> str:
    """Return what stands for dockwright's own code, where it is installed from a checkout."""
    files = sorted(OWN.rglob("*.py"))
    status = ((file, file.stat()) for file in files)
    told = [f"{file.relative_to(OWN)} {s.st_size} {s.st_mtime_ns}" for file, s in status]
    return digest("\n".join(told)) if not str(OWN).startswith(INSTALLED) else ""


def distributions(paths: Iterable[str]) -> dict[str, str]:
    """Return the installed distributions, by name and version, with hashes of what they hold."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        directory = Path(path or ".")
        for suffix in ("dist-info", "egg-info"):
            for each in sorted(directory.glob(f"*.{suffix}")):
                found.setdefault(each.stem, _content(each))
    return found


def _content(information: Path) -> str:
    try:
        record = (information / "RECORD").read_text(errors="surrogateescape")
    except OSError:
        return ""
    return digest(_OWN_LINES.sub("", record))


def variables_of(words: Iterable[frozenset[bytes]], environ: Mapping[str, str]) -> dict[str, str]:
    """Return hashes of the variables that code with these words may read.

    Args:
        words: of each file of the code.
        environ: the environment. Those of its variables that begin with ``DOCKWRIGHT_`` always
            count, except settings, which count by their values.
    """
    known = {word for each in words for word in each}
    lower = {word.lower() for word in known}
    prefixes = (_PREFIX, *(w.decode() for w in known if w.endswith(b"_") and w.isupper()))
    return {
        name: digest(value)
        for name, value in environ.items()
        if not _ALWAYS_CHANGES.fullmatch(name)
        and name not in _SETTINGS
        and (name.startswith(prefixes) or _is_named(name.encode(), known, lower))
    }


def _is_named(name: bytes, known: set[bytes], lower: set[bytes]) -> bool:
    if name.decode() in _OF_THE_SYSTEM or name.startswith((b"LC_", b"XDG_")):
        return name in known
    return name.lower() in lower


def digest(text: str) -> str:
    """Return a hash of a text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
