"""Which directory pytest takes for the root of the project that a command is run in."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path


def project_root(start: Path) -> Path:
    """Return the closest directory, from `start` up, that configures pytest; else `start`.

    Source: "Initialization: determining rootdir and configfile" in pytest's reference.
    """
    above = [start, *start.parents]
    for configures in (_configures_pytest, _is_python_project):
        for directory in above:
            if configures(directory):
                return directory
    return start


def _configures_pytest(directory: Path) -> bool:
    if any((directory / name).is_file() for name in ("pytest.toml", "pytest.ini", ".pytest.ini")):
        return True
    return (
        _has_table(directory / "pyproject.toml")
        or _has_section(directory / "tox.ini", "pytest")
        or _has_section(directory / "setup.cfg", "tool:pytest")
    )


def _is_python_project(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("pyproject.toml", "setup.py"))


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
