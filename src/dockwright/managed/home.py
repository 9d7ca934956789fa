"""The config directory of one project: the settings of its stack, and its secrets."""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dockwright._files import write_file
from dockwright.compose import check_name, read_env_file
from dockwright.errors import SettingsError
from dockwright.paths import config_directory

SETTINGS = "settings.toml"
SECRETS = ".env"
COMPOSE = "compose.yaml"
_FORMAT = 1
_DIRECTORY_MODE, _FILE_MODE = 0o700, 0o600
_HEADER = """\
# The settings of the stack {project}: written by `dockwright stack install`, and read by all
# `dockwright stack` commands.
"""


def config_base(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the directory that holds the config directories of all projects.

    Args:
        explicit: the directory from the command line, if any.
        environ: may have ``DOCKWRIGHT_CONFIG_DIR``, which comes next; the default is the user's
            configuration directory.
    """
    named = explicit or environ.get("DOCKWRIGHT_CONFIG_DIR") or None
    return Path(named).absolute() if named else config_directory()


@dataclass(frozen=True, slots=True)
class InstalledSettings:
    """How a stack was installed.

    Attributes:
        project: the project name.
        files: the Compose files, in merge order.
        directory: the base of relative paths in them.
        profiles: the active profiles.
        env_files: the files with variables; empty: ``.env`` in `directory`.
        engine: the engine's URL; empty: the engine that the docker command would use.
        created: the time of the installation, in ISO 8601; not compared.
        version: the version of dockwright that installed it; not compared.
    """

    project: str
    files: tuple[Path, ...]
    directory: Path
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    engine: str = ""
    created: str = field(default="", compare=False)
    version: str = field(default="", compare=False)

    def to_toml(self) -> str:
        """Return the text of the settings file."""
        values: dict[str, object] = {
            "format": _FORMAT,
            "version": self.version,
            "created": self.created,
            "project": self.project,
            "files": [str(file) for file in self.files],
            "directory": str(self.directory),
            "profiles": list(self.profiles),
            "env_files": [str(file) for file in self.env_files],
            "engine": self.engine,
        }
        # JSON strings and lists of strings are also valid TOML.
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
        ]
        return _HEADER.format(project=self.project) + "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str, file: Path) -> InstalledSettings:
        """Parse a settings file.

        Raises:
            SettingsError: the file is invalid; names the file.
        """
        try:
            table = tomllib.loads(text)
            if table["format"] != _FORMAT:
                raise SettingsError(
                    f"{file}: this version of dockwright cannot read format {table['format']!r}",
                    hint="use the version of dockwright that wrote it, or install the stack again",
                )
            return cls(
                project=check_name(table["project"]),
                files=tuple(Path(file) for file in table["files"]),
                directory=Path(table["directory"]),
                profiles=tuple(map(str, table["profiles"])),
                env_files=tuple(Path(file) for file in table["env_files"]),
                engine=str(table["engine"]),
                created=str(table["created"]),
                version=str(table["version"]),
            )
        except (ValueError, RecursionError, KeyError, TypeError) as failure:
            what = f"{failure} is missing" if isinstance(failure, KeyError) else str(failure)
            raise SettingsError(
                f"cannot read {file}: {what}",
                hint="replace it with `dockwright stack install --force`",
            ) from failure

    def differences(self, other: InstalledSettings) -> Iterator[str]:
        """Yield a line for each setting that differs in `other`."""
        for name in ("project", "files", "directory", "profiles", "env_files", "engine"):
            before, after = getattr(self, name), getattr(other, name)
            if before != after:
                yield f"{name}: {_shown(before)} -> {_shown(after)}"


@dataclass(frozen=True, slots=True)
class ConfigHome:
    """The config directory of one project, whether it exists or not.

    Attributes:
        directory: its path.
    """

    directory: Path

    @classmethod
    def of(cls, base: Path, project: str) -> ConfigHome:
        """Return the config directory of the project with this name.

        Raises:
            ComposeError: the name is not a valid project name.
        """
        return cls(base / check_name(project))

    @property
    def settings_file(self) -> Path:
        """The settings file; a stack that has one is installed."""
        return self.directory / SETTINGS

    @property
    def secrets_file(self) -> Path:
        """The file with the project's variables, some of which are secrets."""
        return self.directory / SECRETS

    def settings(self) -> InstalledSettings | None:
        """Return how the stack was installed, or None if it is not installed.

        Raises:
            SettingsError: the file is invalid.
        """
        try:
            text = self.settings_file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError as failure:
            raise SettingsError(f"{self.settings_file} is not UTF-8 text") from failure
        return InstalledSettings.parse(text, self.settings_file)

    def values(self) -> dict[str, str]:
        """Return the variables that the secrets file sets.

        Raises:
            ComposeError: a line is invalid.
        """
        if not self.secrets_file.is_file():
            return {}
        found = read_env_file(self.secrets_file, {})
        return {name: value for name, value in found.items() if value is not None}

    def loose(self) -> list[Path]:
        """Return those of its files and directories that other users may read or change."""
        return [
            path
            for path in (self.directory, self.settings_file, self.secrets_file)
            if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
        ]

    def tighten(self) -> list[Path]:
        """Remove the permissions of other users; return what had such permissions."""
        loose = self.loose()
        for path in loose:
            path.chmod(_DIRECTORY_MODE if path.is_dir() else _FILE_MODE)
        return loose

    def write(self, name: str, text: str) -> None:
        """Replace one file, completely or not at all; only its owner may read it."""
        write_file(self.directory / name, text.encode(), mode=_FILE_MODE, sync=True)

    def own_files(self) -> list[Path]:
        """Return the files that `install` wrote, and the Compose file that `restore` wrote."""
        files = [self.settings_file, self.secrets_file]
        with suppress(SettingsError):  # invalid settings name no Compose file
            settings, restored = self.settings(), self.directory / COMPOSE
            if settings is not None and settings.files == (restored,):
                files.append(restored)
        return [file for file in files if file.exists()]

    def remove(self) -> list[Path]:
        """Delete dockwright's files, and the directory if it is empty then.

        Returns:
            The files that stay because dockwright did not write them.
        """
        for file in self.own_files():
            file.unlink()
        with suppress(OSError):  # not empty, or does not exist
            self.directory.rmdir()
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else []


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
