"""The config directory's part in a restore: what comes back, and what was there before."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockwright._files import write_file
from dockwright.compose import read_env_file
from dockwright.lifecycle.archive_read import Archive
from dockwright.lifecycle.archive_tar import TarReader
from dockwright.lifecycle.backup_config import ROOT
from dockwright.lifecycle.home import SECRETS, SETTINGS, InstalledSettings
from dockwright.lifecycle.manifest import CONFIG, SPEC


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """Files for one config directory.

    Attributes:
        directory: where they belong.
        files: their contents by path below it; None: there is to be no such file.
    """

    directory: Path
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    def present(self) -> ConfigFiles:
        """Return what is in the places of these files now."""
        return ConfigFiles(self.directory, {name: self._read(name) for name in self.files})

    def changing(self) -> list[Path]:
        """Return the files that are there and would get another content."""
        return [
            self.directory / name
            for name, content in self.present().files.items()
            if content is not None and content != self.files[name]
        ]

    def write(self) -> None:
        """Put them in their places, each whole or not at all; only their owner may read them."""
        for name, content in self.files.items():
            place = self.directory / name
            if content is None:
                place.unlink(missing_ok=True)
                continue
            if not self.directory.exists():
                self.directory.mkdir(parents=True, mode=0o700)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(place, content, sync=True)

    def remove_empty(self) -> None:
        """Remove the directory if nothing is in it."""
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def document(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {
            "directory": str(self.directory),
            "files": {
                name: None if content is None else base64.b64encode(content).decode()
                for name, content in self.files.items()
            },
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> ConfigFiles:
        """Read what `document` returned."""
        files = {
            name: None if text is None else base64.b64decode(text)
            for name, text in document["files"].items()
        }
        return cls(Path(document["directory"]), files)

    def _read(self, name: str) -> bytes | None:
        place = self.directory / name
        return place.read_bytes() if place.is_file() else None


def archived_config(archive: Archive) -> dict[str, bytes]:
    """Return the files of the archived config directory, by path; none where it has none."""
    part = archive.manifest.part(CONFIG)
    if part is None:
        return {}
    tar = TarReader(iter([archive.text(part)]))
    return {
        member.name.removeprefix(f"{ROOT}/"): tar.content(member)
        for member in tar.members()
        if member.kind == "file"
    }


def secret_values(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the variables that the archived secrets file sets."""
    if SECRETS not in files:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / SECRETS
        place.write_bytes(files[SECRETS])
        found = read_env_file(place, {})
    return {name: value for name, value in found.items() if value is not None}


def for_project(
    files: Mapping[str, bytes], directory: Path, project: str, compose: tuple[Path, ...]
) -> ConfigFiles:
    """Return what of an archived config directory belongs into that of a project.

    Args:
        files: the archived config directory.
        directory: the project's.
        project: its name.
        compose: its Compose files; settings that tell of others are left out.
    """
    kept: dict[str, bytes | None] = dict(files)
    if SETTINGS in files:
        settings = InstalledSettings.parse(files[SETTINGS].decode(errors="replace"), Path(SETTINGS))
        if (settings.project, settings.files) != (project, compose):
            del kept[SETTINGS]
    return ConfigFiles(directory, kept)


def for_archived_spec(
    files: Mapping[str, bytes], spec_text: bytes, settings: InstalledSettings
) -> ConfigFiles:
    """Return the config directory of a stack that is restored without its project's files.

    Args:
        files: the archived config directory.
        spec_text: the Compose file that the backup holds.
        settings: name the project, and that file in the config directory.
    """
    return ConfigFiles(
        settings.directory, {**files, SPEC: spec_text, SETTINGS: settings.to_toml().encode()}
    )
