"""What the settings declare: the engine, and how the Compose project of each stack is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.compose import LoadOptions
from dockwright.engine import resolve_endpoint
from dockwright.errors import SettingsError
from dockwright.paths import home_directory
from dockwright.settings import DEFAULT_STACK, Settings, selected

if TYPE_CHECKING:
    from dockwright.engine import Endpoint, Engine


def find_endpoint(url: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the engine's endpoint; an empty `url` means the one that the docker CLI would use."""
    return resolve_endpoint(
        environ, home_directory(), explicit=url or None, source="the setting engine"
    )


def connect_engine(url: str, environ: Mapping[str, str]) -> Engine:
    """Return the engine at `url`; an empty `url` means the one that the docker CLI would use."""
    from dockwright.engine import connect

    return connect(find_endpoint(url, environ))


def load_options(settings: Settings, name: str, environ: Mapping[str, str]) -> LoadOptions:
    """Return how the Compose project of one declared stack is loaded.

    Args:
        settings: which declare it.
        name: of the stack, or a `selection` of its services.
        environ: the environment of the run.

    Raises:
        SettingsError: a file that a setting names does not exist.
    """
    stack, services = selected(name)
    files = settings.compose if stack == DEFAULT_STACK else (settings.stacks[stack],)
    _check_there(settings, "compose" if stack == DEFAULT_STACK else "stacks", files)
    _check_there(settings, "env_files", settings.env_files)
    return LoadOptions(
        files=files,
        profiles=settings.profiles,
        services=services,
        env_files=settings.env_files,
        environ=environ,
        start=settings.root,
    )


def _check_there(settings: Settings, name: str, files: Iterable[Path]) -> None:
    for file in files:
        if not file.exists():
            raise SettingsError(
                f"{settings.origins.get(name, 'default')}: {name}: no such file: {file}",
                hint=f"correct dockwright_{name}; paths in a file are relative to its directory, "
                "paths on the command line and in the environment to the current directory",
            )
