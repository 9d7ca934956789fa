"""``dockwright stack stop``: stop services of the long-lived stack."""

from __future__ import annotations

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._options import compose_options
from dockwright.cli._output import note
from dockwright.lifecycle import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import statuses

_RUNS = ("running", "paused", "restarting")


@click.command(
    epilog="""\b
Examples:
  dockwright stack stop          everything, dependents first
  dockwright stack stop web      only this one
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def stop(spec: StackSpec, services: tuple[str, ...]) -> None:
    """Stop services, with the stop signal and grace that they declare.

    Their containers, networks and volumes stay: 'start' brings them back, 'uninstall' removes them.
    """
    stack = long_lived_stack(spec, current_engine())
    chosen = stack.known(services or None)
    running = [each.name for each in statuses(stack) if each.state in _RUNS and each.name in chosen]
    if not running:
        note(f"nothing to stop: {', '.join(services) or stack.identity.project} does not run")
        return
    note(f"stopping {', '.join(running)} ...")
    stack.stop(running)
    note("stopped")
