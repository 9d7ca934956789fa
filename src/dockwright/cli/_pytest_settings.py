"""The settings that pytest would run with in a project, read from the file that configures it.

Options in ``addopts`` or ``PYTEST_ADDOPTS`` are not seen: write them as settings.
"""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dockwright.cli._root import project_root
from dockwright.errors import SettingsError
from dockwright.settings import OPTIONS, Settings, Source, environment_values, resolve

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
        engine: the URL that the command line names, or an empty text.

    Raises:
        SettingsError: a value cannot be; tells where it came from.
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


def _configured(root: Path) -> tuple[str, Raw]:
    """Return the name of the file that configures pytest, and our settings in it."""
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
