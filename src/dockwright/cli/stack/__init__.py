"""``dockwright stack``: the group of the commands that manage one long-lived stack."""

from __future__ import annotations

from collections.abc import Mapping

import click

from dockwright.cli.app import Lazy, LazyGroup

COMMANDS: Mapping[str, Lazy] = {
    "install": Lazy(
        "dockwright.cli.stack.install:install", "Write settings and secrets; get the images."
    ),
    "check": Lazy("dockwright.cli.stack.install:check", "Check that the stack can run."),
    "start": Lazy(
        "dockwright.cli.stack.start:start", "Start services and wait until all is ready."
    ),
    "stop": Lazy("dockwright.cli.stack.start:stop", "Stop services; containers and data stay."),
    "restart": Lazy("dockwright.cli.stack.start:restart", "Stop services and start them again."),
    "status": Lazy("dockwright.cli.stack.status:status", "Show what runs, and where."),
    "logs": Lazy("dockwright.cli.stack.logs:logs", "Show what services wrote, in order of time."),
    "update": Lazy(
        "dockwright.cli.stack.update:update", "Bring services to new images; put back if it fails."
    ),
    "backup": Lazy(
        "dockwright.cli.stack.backup:backup", "Write data, project and configuration to an archive."
    ),
    "restore": Lazy(
        "dockwright.cli.stack.backup:restore", "Bring a backup back; put back if it fails."
    ),
    "config": Lazy(
        "dockwright.cli.stack.config:config", "Print the project in its canonical form."
    ),
    "uninstall": Lazy("dockwright.cli.stack.uninstall:uninstall", "Remove the stack."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog="""\b
Examples:
  dockwright stack start                      the project in this directory
  dockwright stack -h
  dockwright stack status -f shop/compose.yaml
""",
)
def stack() -> None:
    """Manage one long-lived stack from a Compose project.

    It runs until it is stopped, with the ports and names that the files declare; the test runs'
    own copies live beside it.
    """
