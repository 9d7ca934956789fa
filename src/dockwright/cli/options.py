"""Options that several commands share: the project, its settings, the engine, durations."""

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
from dockwright.settings import START_TIMEOUT_S
from dockwright.stack import COMPOSE_SERVICE, Stack

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

root_option = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Directory of the project.  [default: the root that pytest would find from here]",
)


_DAY_S = 86_400.0


def duration(text: str) -> float:
    """Return a duration such as ``30s`` or ``1h30m`` in seconds."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise click.BadParameter(f"{text!r}: {exc}") from exc


def moment(text: str) -> float:
    """Return a time, such as ``2026-01-31T08:00:00Z`` or ``10m`` (ago), as seconds since 1970."""
    with suppress(ValueError):
        return time.time() - parse_duration(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r}: expected a time, such as 10m (ago) or 2026-01-31T08:00:00Z"
        ) from exc


def older_than_s(text: str) -> float:
    """Return an age such as ``12h`` or ``7d`` in seconds.

    Raises:
        UsageError: the text is not an age.
    """
    days = text.strip().removesuffix("d")
    if days != text.strip() and days.isdecimal():
        return int(days) * _DAY_S
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--older-than {text!r}: {exc}", hint="example: --older-than 7d") from exc


Command = Callable[..., Any]  # click's commands have parameters of every kind

timeout_option: Callable[[Command], Command] = click.option(
    "--timeout",
    "timeout_s",
    metavar="DURATION",
    type=duration,
    default=f"{START_TIMEOUT_S:g}s",
    show_default=True,
    envvar="DOCKWRIGHT_START_TIMEOUT",
    help="How long each service may take to become ready.",
)


def runs_option(least: int, default: int, purpose: str) -> Callable[[Command], Command]:
    """Return the option ``--runs``: how many of the latest recorded runs a command uses.

    Args:
        least: the smallest number.
        default: the number without the option.
        purpose: what the command does with them, such as ``to search``.
    """
    return click.option(
        "--runs",
        "most_runs",
        type=click.IntRange(min=least),
        default=default,
        show_default=True,
        help=f"How many of the latest recorded runs {purpose}.",
    )


def running_units(stack: Stack) -> set[str]:
    """Return the services that run, and the native processes that run as they are declared now."""
    containers = stack.engine.list_containers(stack.identity.selector(), all=False)
    processes = stack.processes.items()
    return {container["Labels"][COMPOSE_SERVICE] for container in containers} | {
        name for name, process in processes if process.running and not process.outdated
    }


_INSTALLED_ENGINE = f"{__name__}.installed"
"""The key in click's context for the engine that a stack was installed with, and its source."""

_ENVIRONMENT = ("DOCKER_HOST", "DOCKER_CONTEXT")


def engine_url() -> str:
    """Return the value of ``--engine``, or an empty text."""
    options = click.get_current_context().find_object(GlobalOptions)
    return options.engine if options else ""


def current_endpoint() -> Endpoint:
    """Return where the engine is.

    The first of these counts: ``--engine``, the environment, the settings of the installed stack,
    the engine that the docker command would use.

    Raises:
        SettingsError: an address is malformed.
    """
    explicit, source = engine_url(), "the option"
    if not explicit and not any(os.environ.get(name) for name in _ENVIRONMENT):
        explicit, source = click.get_current_context().meta.get(_INSTALLED_ENGINE, ("", ""))
    return resolve_endpoint(os.environ, home_directory(), explicit=explicit or None, source=source)


def current_engine() -> Engine:
    """Connect to the engine of `current_endpoint`.

    Raises:
        EngineError: the engine cannot be used; says why and what to do.
    """
    return connect(current_endpoint())


_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)

_OPTIONS = (
    click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        type=_FILE,
        help="Compose file; repeat to merge several.  [default: COMPOSE_FILE, or compose.yaml in "
        "this directory or a parent]",
    ),
    click.option(
        "-p",
        "--project-name",
        metavar="NAME",
        help="Project name.  [default: COMPOSE_PROJECT_NAME, 'name:' in the file, or the name of "
        "the directory]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="PROFILE",
        help="Profile to activate, '*' for all; repeatable.  [default: COMPOSE_PROFILES]",
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
        help="Base of relative paths.  [default: the directory of the first file]",
    ),
    click.option(
        "--config-dir",
        type=_DIRECTORY,
        help="Directory of the settings and secrets of installed stacks.  [default: "
        "DOCKWRIGHT_CONFIG_DIR, or ~/.config/dockwright]",
    ),
)

_HOME = f"{__name__}.home"


def given_options(command: Command) -> Command:
    """Add the options above: the command gets a `LoadOptions` and the base config directory."""

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
    """Add the same options; the command gets a `LoadOptions` that `completed` has filled in."""

    @functools.wraps(command)
    def wrapper(options: LoadOptions, base: Path, **others: Any) -> Any:
        return command(completed(options, base), **others)

    return given_options(wrapper)


def completed(options: LoadOptions, base: Path) -> LoadOptions:
    """Return `options` with the settings and secrets from the project's config directory.

    If the command line names a project but no files, it means the installed stack of that name.
    Afterwards `current_home` and `current_engine` use its config directory.

    Raises:
        NoComposeFileError: no Compose file is named, and there is none here.
        ComposeError: the project's name or a file with variables is invalid.
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
    """Return where the project is; for an unknown project name, list the known ones.

    Raises:
        NoComposeFileError: there is no Compose file here.
        ComposeError: the project's name or a file with variables is invalid.
    """
    try:
        return locate(options)
    except NoComposeFileError as failure:
        name = options.project_name or options.environ.get("COMPOSE_PROJECT_NAME")
        if not name:
            raise
        raise unknown_stack(name, base, failure) from None


def from_installed(options: LoadOptions, base: Path) -> LoadOptions | None:
    """Return options for the installed stack that is named, or None if no such stack is meant."""
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
    """Return how the named stack was installed, without reading its Compose files.

    Returns:
        Its settings and config directory; None if it is not installed.

    Raises:
        ComposeError: no name is given, and none can be derived from this directory.
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
        meta[_INSTALLED_ENGINE] = (settings.engine, str(home.settings_file))


def compose_options(command: Command) -> Command:
    """Add the same options; the command gets the loaded project, a `StackSpec`, as first argument.

    Warnings about the project, and secrets without a value, are printed to standard error.
    """

    @functools.wraps(command)
    def wrapper(options: LoadOptions, **others: Any) -> Any:
        _warn_of_unset_secrets(locate(options))
        spec = load(options)
        print_warnings(spec.warnings)
        return command(spec, **others)

    return load_options(wrapper)


def _warn_of_unset_secrets(place: ProjectPlace) -> None:
    unset = [name for name in place.secret_variables() if not place.variables.get(name)]
    if unset:
        note(
            f"warning: secrets without a value: {', '.join(unset)}; "
            "`dockwright stack install` generates them"
        )


def print_warnings(warnings: tuple[SpecWarning, ...]) -> None:
    """Print the warnings about a project to standard error."""
    for warning in warnings:
        note(f"warning: {warning}")


def unknown_stack(name: str, base: Path, here: NoComposeFileError) -> NoComposeFileError:
    """Return the error for a stack that is not installed and whose project is not here.

    Args:
        name: the value of ``-p``.
        base: the directory with the config directories of installed stacks.
        here: the error of the search for a Compose file here.
    """
    installed, started = installed_stacks(base), _started()
    return NoComposeFileError(
        f"unknown stack {name!r}: it is not installed in {base}, and there is {here.message}",
        hint=_started_elsewhere(name, started.get(name, ())) or _known_stacks(installed, started),
    )


def _started() -> Mapping[str, tuple[Path, ...]]:
    with suppress(DockwrightError):  # the installed stacks are known without an engine
        return started_stacks(current_engine())
    return {}


def _started_elsewhere(name: str, files: Iterable[Path]) -> str:
    options = file_options(files)
    return f"{name} was started from another directory: add {options}" if options else ""


def _known_stacks(installed: Iterable[str], started: Iterable[str]) -> str:
    known = [*installed, *(f"{name} (not installed)" for name in started if name not in installed)]
    return (
        f"known stacks: {', '.join(known) or 'none'}; name a Compose file with -f, or install the "
        "stack to find it with -p from anywhere: `dockwright stack install -f FILE`"
    )
