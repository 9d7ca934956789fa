"""The options that say which Compose project a command is about, and what they make of it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dockwright.compose import LoadOptions, load
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
)


def load_options(command: Command) -> Command:
    """Give a command the options above; it receives them as a `LoadOptions` in front."""

    @functools.wraps(command)
    def wrapper(
        *,
        files: tuple[Path, ...],
        project_name: str | None,
        profiles: tuple[str, ...],
        env_files: tuple[Path, ...],
        project_directory: Path | None,
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
        return command(options, **others)

    return functools.reduce(lambda inner, option: option(inner), reversed(_OPTIONS), wrapper)


def compose_options(command: Command) -> Command:
    """Give a command the same options; it receives the loaded project as a `StackSpec` in front.

    What the project holds that dockwright does not use is told on standard error.
    """

    @functools.wraps(command)
    def wrapper(options: LoadOptions, **others: Any) -> Any:
        spec = load(options)
        tell_warnings(spec.warnings)
        return command(spec, **others)

    return load_options(wrapper)


def tell_warnings(warnings: tuple[SpecWarning, ...]) -> None:
    """Print what a project holds that dockwright does not use, on standard error."""
    for warning in warnings:
        click.echo(f"warning: {warning}", file=sys.stderr)
