"""The ``dockwright`` command line: one module for each command or group of commands."""

from dockwright.cli.errors import main

__all__ = ["main"]
