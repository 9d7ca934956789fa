"""The commands: ``dockwright`` on the command line, one module a command."""

from dockwright.cli.errors import main

__all__ = ["main"]
