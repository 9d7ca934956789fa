"""Which directory pytest takes for the root of the project that a command is run in."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path

_ALWAYS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
"""Files that configure pytest even when they are empty."""


def project_root(start: Path) -> Path:
    """Return the root that pytest finds when it is run in `start` without arguments.

    Source: "Initialization: determining rootdir and configfile" in pytest's reference.
    """
    above = [start, *start.parents]
    for is_root in (_configures_pytest, _has_pyproject, _has_setup):
        for directory in above:
            if is_root(directory):
                return directory
    return start


def _configures_pytest(directory: Path) -> bool:
    if any((directory / name).is_file() for name in _ALWAYS):
        return True
    return (
        _has_table(directory / "pyproject.toml")
        or _has_section(directory / "tox.ini", "pytest")
        or _has_section(directory / "setup.cfg", "tool:pytest")
    )


def _has_pyproject(directory: Path) -> bool:
    return (directory / "pyproject.toml").is_file()


def _has_setup(directory: Path) -> bool:
    return (directory / "setup.py").is_file()


def _has_table(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return "pytest" in tomllib.load(stream).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError):
        return False


def _has_section(file: Path, section: str) -> bool:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (OSError, configparser.Error, UnicodeDecodeError):
        return False
    return parser.has_section(section)
