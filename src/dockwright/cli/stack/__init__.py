"""``dockwright stack``: the commands that manage a long-lived stack."""

from __future__ import annotations

from collections.abc import Mapping

import click

from dockwright.cli.app import Lazy, LazyGroup

COMMANDS: Mapping[str, Lazy] = {
    "install": Lazy(
        "dockwright.cli.stack.install:install", "Write settings and secrets, and pull the images."
    ),
    "check": Lazy("dockwright.cli.stack.install:check", "Check that the stack can run."),
    "start": Lazy(
        "dockwright.cli.stack.start:start", "Start services and wait until they are ready."
    ),
    "stop": Lazy("dockwright.cli.stack.start:stop", "Stop services; keep containers and data."),
    "restart": Lazy("dockwright.cli.stack.start:restart", "Stop services and start them again."),
    "status": Lazy("dockwright.cli.stack.status:status", "Show the state of each service."),
    "logs": Lazy("dockwright.cli.stack.logs:logs", "Show the logs of services, ordered by time."),
    "update": Lazy(
        "dockwright.cli.stack.update:update", "Update services; roll back if the update fails."
    ),
    "backup": Lazy(
        "dockwright.cli.stack.backup:backup", "Back up data, project and configuration."
    ),
    "restore": Lazy(
        "dockwright.cli.stack.backup:restore", "Restore a backup; roll back if that fails."
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
    """Manage the long-lived stack of a Compose project.

    The stack runs until you stop it, with the ports and names that its Compose files declare. Test
    runs do not use it: they start copies of their own.
    """
