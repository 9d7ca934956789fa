"""The settings that pytest would use in a project, read from the file that configures pytest.

Options in ``addopts`` or ``PYTEST_ADDOPTS`` are ignored: write them as settings.
"""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dockwright.errors import SettingsError
from dockwright.settings import OPTIONS, Settings, Source, environment_values, resolve

_ALWAYS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
"""Files that configure pytest even when they are empty."""


def project_root(start: Path) -> Path:
    """Return the root directory that pytest finds if it is run in `start` without arguments.

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


Raw = Mapping[str, str | Sequence[str]]

# In the order in which pytest looks at them: the first that configures pytest counts.
_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pytest.toml", ("pytest",)),
    (".pytest.toml", ("pytest",)),
    ("pytest.ini", ("pytest",)),
    (".pytest.ini", ("pytest",)),
    ("pyproject.toml", ("tool", "pytest")),
    ("tox.ini", ("pytest",)),
    ("setup.cfg", ("tool:pytest",)),
)


def project_settings(directory: Path, engine: str) -> Settings:
    """Return the settings of the project that `directory` belongs to.

    Args:
        directory: where pytest would be run.
        engine: the URL from the command line, or an empty text.

    Raises:
        SettingsError: a value is invalid; says where it comes from.
    """
    root = project_root(directory.resolve())
    file, values = _configured(root)
    return resolve(
        root,
        [
            Source("command line", {"engine": engine} if engine else {}, directory),
            Source("environment", environment_values(os.environ), directory),
            Source(file, values, root),
        ],
    )


def configuring_file(root: Path) -> str:
    """Return the name of the file in `root` that configures pytest; empty: none does."""
    name, _ = _configured(root)
    return "" if name == "ini" else name


def _configured(root: Path) -> tuple[str, Raw]:
    """Return the name of the file that configures pytest, and dockwright's settings in it."""
    for name, keys in _FILES:
        file = root / name
        if file.is_file():
            table = _toml(file, keys) if file.suffix == ".toml" else _ini(file, keys[0])
            if table is not None:
                return name, _ours(table)
    return "ini", {}


def _toml(file: Path, keys: Sequence[str]) -> Mapping[str, Any] | None:
    try:
        table: Any = tomllib.loads(file.read_text())
    except (OSError, ValueError) as failure:
        raise SettingsError(f"{file}: {failure}") from failure
    for key in keys:
        table = table.get(key)
        if not isinstance(table, dict):
            return None
    options = table.get("ini_options", table)
    return options if isinstance(options, dict) else None


def _ini(file: Path, section: str) -> Mapping[str, Any] | None:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (OSError, ValueError, configparser.Error) as failure:
        raise SettingsError(f"{file}: {failure}") from failure
    if parser.has_section(section):
        return dict(parser.items(section))
    return {} if file.name in ("pytest.ini", ".pytest.ini") else None


def _ours(table: Mapping[str, Any]) -> Raw:
    found: dict[str, str | Sequence[str]] = {}
    for option in OPTIONS:
        value = table.get(option.ini_name)
        if value in (None, "", []):
            continue
        if option.many:
            lines = value if isinstance(value, list) else str(value).splitlines()
            found[option.name] = [str(line).strip() for line in lines if str(line).strip()]
        else:
            found[option.name] = str(value)
    return found
