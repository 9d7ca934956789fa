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
# How the stack {project} was installed: written by `dockwright stack install`, and read by all
# `dockwright stack` commands.
"""


def config_base(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the directory that holds the config directories of all projects.

    Args:
        explicit: what the command line names, if it does.
        environ: ``DOCKWRIGHT_CONFIG_DIR`` comes next; else the user's own place for configuration.
    """
    named = explicit or environ.get("DOCKWRIGHT_CONFIG_DIR") or None
    return Path(named).absolute() if named else config_directory()


@dataclass(frozen=True, slots=True)
class InstalledSettings:
    """How a stack was installed.

    Attributes:
        project: the project name.
        files: the Compose files, in merge order.
        directory: what relative paths in them mean.
        profiles: the active profiles.
        env_files: the files with variables; empty: ``.env`` in `directory`.
        engine: the engine's URL; empty: the one that the docker command would use.
        created: when, in ISO 8601; not compared.
        version: of dockwright, then; not compared.
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
        # A JSON string or list of strings is one of TOML too.
        lines = [f"{key} = {json.dumps(each, ensure_ascii=False)}" for key, each in values.items()]
        return _HEADER.format(project=self.project) + "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str, file: Path) -> InstalledSettings:
        """Read what `to_toml` wrote.

        Raises:
            SettingsError: it is not that; names the file.
        """
        try:
            table = tomllib.loads(text)
            if table["format"] != _FORMAT:
                raise SettingsError(
                    f"{file}: format {table['format']!r} is not known to this dockwright",
                    hint="use the version of dockwright that wrote it, or install anew",
                )
            return cls(
                project=check_name(table["project"]),
                files=tuple(Path(each) for each in table["files"]),
                directory=Path(table["directory"]),
                profiles=tuple(map(str, table["profiles"])),
                env_files=tuple(Path(each) for each in table["env_files"]),
                engine=str(table["engine"]),
                created=str(table["created"]),
                version=str(table["version"]),
            )
        except (ValueError, RecursionError, KeyError, TypeError) as failure:
            what = f"{failure} is missing" if isinstance(failure, KeyError) else str(failure)
            raise SettingsError(
                f"{file} cannot be read: {what}",
                hint="write it anew with `dockwright stack install --force`",
            ) from failure

    def differences(self, other: InstalledSettings) -> Iterator[str]:
        """Yield a line for each setting that `other` has differently."""
        for name in ("project", "files", "directory", "profiles", "env_files", "engine"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                yield f"{name}: {_shown(mine)} -> {_shown(its)}"


@dataclass(frozen=True, slots=True)
class ConfigHome:
    """The config directory of one project, whether it exists or not.

    Attributes:
        directory: where it is or would be.
    """

    directory: Path

    @classmethod
    def of(cls, base: Path, project: str) -> ConfigHome:
        """Return the config directory of the project of this name.

        Raises:
            ComposeError: no project can have this name.
        """
        return cls(base / check_name(project))

    @property
    def settings_file(self) -> Path:
        """The file that makes a stack an installed one."""
        return self.directory / SETTINGS

    @property
    def secrets_file(self) -> Path:
        """The file with variables for the project."""
        return self.directory / SECRETS

    def settings(self) -> InstalledSettings | None:
        """Return how the stack was installed; None where it was not.

        Raises:
            SettingsError: the file cannot be understood.
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
            ComposeError: a line of it cannot be read.
        """
        if not self.secrets_file.is_file():
            return {}
        found = read_env_file(self.secrets_file, {})
        return {name: value for name, value in found.items() if value is not None}

    def loose(self) -> list[Path]:
        """Return what of it other users could read or change."""
        return [
            path
            for path in (self.directory, self.settings_file, self.secrets_file)
            if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
        ]

    def tighten(self) -> list[Path]:
        """Take other users' rights away; return what they had rights on."""
        loose = self.loose()
        for path in loose:
            path.chmod(_DIRECTORY_MODE if path.is_dir() else _FILE_MODE)
        return loose

    def write(self, name: str, text: str) -> None:
        """Replace one file by a new one, whole or not at all; only its owner may read it."""
        write_file(self.directory / name, text.encode(), mode=_FILE_MODE, sync=True)

    def own_files(self) -> list[Path]:
        """Return what `install` wrote, or `restore` where it brought the project itself."""
        files = [self.settings_file, self.secrets_file]
        with suppress(SettingsError):  # what cannot be read tells nothing of other files
            settings, restored = self.settings(), self.directory / COMPOSE
            if settings is not None and settings.files == (restored,):
                files.append(restored)
        return [file for file in files if file.exists()]

    def remove(self) -> list[Path]:
        """Delete what is dockwright's, and the directory if nothing else is in it.

        Returns:
            What of the directory stays, because somebody else put it there.
        """
        for file in self.own_files():
            file.unlink()
        with suppress(OSError):  # not empty, or not there
            self.directory.rmdir()
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else []


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
