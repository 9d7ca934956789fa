"""Options that several commands have, and the types of their values."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dockwright._text import parse_duration
from dockwright.cli.app import GlobalOptions
from dockwright.cli.output import note
from dockwright.compose import LoadOptions, ProjectPlace, load, locate
from dockwright.engine import Endpoint, Engine, connect, resolve_endpoint
from dockwright.errors import DockwrightError, NoComposeFileError, UsageError
from dockwright.managed import (
    ConfigHome,
    InstalledSettings,
    config_base,
    file_options,
    installed_stacks,
    started_stacks,
)
from dockwright.model import SpecWarning
from dockwright.paths import home_directory
from dockwright.stack import COMPOSE_SERVICE, Stack

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")

root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Directory of the project.  [default: as pytest finds it from here]",
)


_DAY_S = 86_400.0


def duration(text: str) -> float:
    """Return a duration such as ``30s`` or ``1h30m`` in seconds."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r}: {exc}") from exc


def moment(text: str) -> float:
    """Return a time, or how long ago it was, in seconds since the epoch."""
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass  # not how long ago: a time, then
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r}: a time looks like 10m (ago) or 2026-01-31T08:00:00Z"
        ) from exc


def older_than_s(text: str) -> float:
    """Return an age such as ``12h`` or ``7d`` in seconds.

    Raises:
        UsageError: it is none.
    """
    days = text.strip().removesuffix("d")
    if days != text.strip() and days.isdecimal():
        return int(days) * _DAY_S
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise UsageError(
            f"--older-than {text!r}: {exc}", hint="for example: --older-than 7d"
        ) from exc


Command = Callable[..., Any]  # click's commands have parameters of every kind

timeout_option: Callable[[Command], Command] = click.option(
    "--timeout",
    "timeout_s",
    metavar="DURATION",
    type=duration,
    default="2m",
    show_default=True,
    envvar="DOCKWRIGHT_START_TIMEOUT",
    help="How long one service may take to become ready.",
)
"""Gives a command ``--timeout``."""


def running_units(stack: Stack) -> set[str]:
    """Return the services and processes that run as they are declared now."""
    containers = stack.engine.list_containers(stack.identity.selector(), all=False)
    processes = stack.processes.items()
    return {each["Labels"][COMPOSE_SERVICE] for each in containers} | {
        name for name, process in processes if process.running and not process.outdated
    }


INSTALLED_ENGINE = f"{__name__}.installed"
"""The key of click's context for the engine that a stack was installed with, and who says so."""

_ENVIRONMENT = ("DOCKER_HOST", "DOCKER_CONTEXT")


def engine_url() -> str:
    """Return what ``--engine`` says; an empty text where it was not given."""
    options = click.get_current_context().find_object(GlobalOptions)
    return options.engine if options else ""


def current_endpoint() -> Endpoint:
    """Return where the engine is: what ``--engine`` names, the environment, the installed stack.

    Where none of them says, it is the one that the docker command would use.

    Raises:
        SettingsError: an address is malformed.
    """
    explicit, source = engine_url(), "the option"
    if not explicit and not any(os.environ.get(name) for name in _ENVIRONMENT):
        explicit, source = click.get_current_context().meta.get(INSTALLED_ENGINE, ("", ""))
    return resolve_endpoint(os.environ, home_directory(), explicit=explicit or None, source=source)


def current_engine() -> Engine:
    """Connect to the engine of `current_endpoint`.

    Raises:
        EngineError: it cannot be used; tells why and what to do.
    """
    return connect(current_endpoint())


# click's commands have parameters of every kind

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
        # not light, and rarely needed

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


def unknown_stack(name: str, base: Path, here: NoComposeFileError) -> NoComposeFileError:
    """Return the error of a stack that is not installed, and whose project is not here either.

    Args:
        name: what ``-p`` says.
        base: the config directories of the installed stacks.
        here: why it cannot be a project of this place.
    """
    installed, started = installed_stacks(base), _started()
    return NoComposeFileError(
        f"no stack {name!r} is known: it is not installed in {base}, and there is {here.message}",
        hint=_started_elsewhere(name, started.get(name, ())) or _what_there_is(installed, started),
    )


def _started() -> Mapping[str, tuple[Path, ...]]:
    with suppress(DockwrightError):  # what is installed can be told without an engine too
        return started_stacks(current_engine())
    return {}


def _started_elsewhere(name: str, files: Iterable[Path]) -> str:
    options = file_options(files)
    return f"{name} has containers, and comes from elsewhere: add {options}" if options else ""


def _what_there_is(installed: Iterable[str], started: Iterable[str]) -> str:
    known = [*installed, *(f"{name} (not installed)" for name in started if name not in installed)]
    return (
        f"the known stacks are: {', '.join(known) or 'none'}; name the file of another with -f, or "
        "install it, so that -p finds it from anywhere: `dockwright stack install -f FILE`"
    )
