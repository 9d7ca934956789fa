"""The engine that a command works on."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dockwright.cli.app import GlobalOptions
from dockwright.engine import Engine, connect, resolve_endpoint


def engine_url() -> str:
    """Return what ``--engine`` says; an empty text where it was not given."""
    options = click.get_current_context().find_object(GlobalOptions)
    return options.engine if options else ""


def current_engine() -> Engine:
    """Connect to the engine that ``--engine`` names, or that the docker command would use.

    Raises:
        EngineError: it cannot be used; tells why and what to do.
    """
    return connect(resolve_endpoint(os.environ, Path.home(), explicit=engine_url() or None))
