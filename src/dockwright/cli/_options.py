"""The options that say which Compose project a command is about, and what they make of it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dockwright.cli._engine import INSTALLED_ENGINE
from dockwright.cli._output import note
from dockwright.compose import LoadOptions, ProjectPlace, load, locate
from dockwright.errors import NoComposeFileError
from dockwright.lifecycle import ConfigHome, InstalledSettings, config_base
from dockwright.model import SpecWarning

Command = Callable[..., Any]  # click's commands have parameters of every kind

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)

_OPTIONS = (
    click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        type=_FILE,
        help="Compose file; repeat to merge several.  [default: COMPOSE_FILE, else compose.yaml "
        "in this directory or above it]",
    ),
    click.option(
        "-p",
        "--project-name",
        metavar="NAME",
        help="Name of the project.  [default: COMPOSE_PROJECT_NAME, 'name:' in the file, or the "
        "directory's name]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="PROFILE",
        help="Activate a profile, '*' for all; repeatable.  [default: COMPOSE_PROFILES]",
    ),
    click.option(
        "--env-file",
        "env_files",
        multiple=True,
        type=_FILE,
        help="File with variables; repeatable.  [default: .env in the project directory]",
    ),
    click.option(
        "--project-directory",
        type=_DIRECTORY,
        help="What relative paths mean.  [default: the directory of the first file]",
    ),
    click.option(
        "--config-dir",
        type=_DIRECTORY,
        help="Where installed stacks have their settings and secrets.  [default: "
        "DOCKWRIGHT_CONFIG_DIR, else the user's own, e.g. ~/.config/dockwright]",
    ),
)

_HOME = f"{__name__}.home"


def given_options(command: Command) -> Command:
    """Give a command the options above: a `LoadOptions`, and the base of config directories."""

    @functools.wraps(command)
    def wrapper(
        *,
        files: tuple[Path, ...],
        project_name: str | None,
        profiles: tuple[str, ...],
        env_files: tuple[Path, ...],
        project_directory: Path | None,
        config_dir: Path | None,
        **others: Any,
    ) -> Any:
        options = LoadOptions(
            files=files,
            project_name=project_name,
            profiles=profiles,
            env_files=env_files,
            working_dir=project_directory,
            environ=dict(os.environ),
            start=Path.cwd(),
        )
        return command(options, config_base(config_dir, os.environ), **others)

    return functools.reduce(lambda inner, option: option(inner), reversed(_OPTIONS), wrapper)


def load_options(command: Command) -> Command:
    """Give a command the same options as one `LoadOptions`, completed by how it was installed."""

    @functools.wraps(command)
    def wrapper(options: LoadOptions, base: Path, **others: Any) -> Any:
        return command(completed(options, base), **others)

    return given_options(wrapper)


def completed(options: LoadOptions, base: Path) -> LoadOptions:
    """Return `options` with what the config directory of the project they mean says.

    Where the command line names a project but no files, an installed stack of that name is meant.
    From then on `current_home` and `current_engine` know of it.

    Raises:
        NoComposeFileError: neither names it nor is there one here.
        ComposeError: the project's name or a file of variables is wrong.
    """
    options = from_installed(options, base) or options
    place = located(options, base)
    home = ConfigHome.of(base, place.name)
    settings = home.settings()
    if settings is not None and settings.files == place.files:
        _adopt_engine(home, settings)
        profiles = options.profiles or options.environ.get("COMPOSE_PROFILES")
        options = options if profiles else replace(options, profiles=settings.profiles)
    click.get_current_context().meta[_HOME] = home
    return replace(options, values=home.values())


def located(options: LoadOptions, base: Path) -> ProjectPlace:
    """Return the project's place; where a name was given and leads nowhere, say which ones do.

    Raises:
        NoComposeFileError: there is no Compose file here.
        ComposeError: the project's name or a file of variables is wrong.
    """
    try:
        return locate(options)
    except NoComposeFileError as failure:
        name = options.project_name or options.environ.get("COMPOSE_PROJECT_NAME")
        if not name:
            raise
        from dockwright.cli._unknown_stack import unknown_stack  # not light, and rarely needed

        raise unknown_stack(name, base, failure) from None


def from_installed(options: LoadOptions, base: Path) -> LoadOptions | None:
    """Return options for the installed stack that is named; None where none is meant."""
    name = options.project_name or options.environ.get("COMPOSE_PROJECT_NAME")
    if not name or options.files or options.working_dir or options.environ.get("COMPOSE_FILE"):
        return None
    home = ConfigHome.of(base, name)
    settings = home.settings()
    if settings is None:
        return None
    _adopt_engine(home, settings)
    return replace(
        options,
        files=settings.files,
        working_dir=settings.directory,
        profiles=options.profiles or settings.profiles,
        env_files=options.env_files or settings.env_files,
    )


def from_home(options: LoadOptions, base: Path) -> tuple[InstalledSettings, ConfigHome] | None:
    """Return how the named stack was installed, whatever its project's files are; None: it was not.

    Raises:
        ComposeError: no name is given, and none can be found out.
    """
    name = options.project_name or options.environ.get("COMPOSE_PROJECT_NAME")
    home = ConfigHome.of(base, name or locate(options).name)
    settings = home.settings()
    if settings is None:
        return None
    _adopt_engine(home, settings)
    return settings, home


def current_home() -> ConfigHome:
    """Return the config directory of the project that the command is about."""
    home: ConfigHome = click.get_current_context().meta[_HOME]
    return home


def _adopt_engine(home: ConfigHome, settings: InstalledSettings) -> None:
    if settings.engine:
        meta = click.get_current_context().meta
        meta[INSTALLED_ENGINE] = (settings.engine, str(home.settings_file))


def compose_options(command: Command) -> Command:
    """Give a command the same options; it receives the loaded project as a `StackSpec` in front.

    What the project holds that dockwright does not use is told on standard error, and so are
    secrets without a value.
    """

    @functools.wraps(command)
    def wrapper(options: LoadOptions, **others: Any) -> Any:
        _tell_unset_secrets(locate(options))
        spec = load(options)
        tell_warnings(spec.warnings)
        return command(spec, **others)

    return load_options(wrapper)


def _tell_unset_secrets(place: ProjectPlace) -> None:
    unset = [name for name in place.secret_variables() if not place.variables.get(name)]
    if unset:
        note(
            f"warning: secrets without a value: {', '.join(unset)}; "
            "`dockwright stack install` makes them up"
        )


def tell_warnings(warnings: tuple[SpecWarning, ...]) -> None:
    """Print what a project holds that dockwright does not use, on standard error."""
    for warning in warnings:
        note(f"warning: {warning}")
