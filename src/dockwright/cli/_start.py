"""What the commands that start services have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dockwright.cli._types import duration
from dockwright.stack import COMPOSE_SERVICE, Stack

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
