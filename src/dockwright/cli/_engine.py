"""The engine that a command works on."""

from __future__ import annotations

import os

import click

from dockwright.cli.app import GlobalOptions
from dockwright.engine import Endpoint, Engine, connect, resolve_endpoint
from dockwright.places import home_directory

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
