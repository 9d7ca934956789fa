"""The commands: ``dockwright`` on the command line, one module a command."""

from dockwright.cli.exits import main

__all__ = ["main"]
