"""``dockwright stack stop``: stop services of the long-lived stack."""

from __future__ import annotations

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._options import compose_options
from dockwright.cli._output import note
from dockwright.lifecycle import changing
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
    with changing(spec, current_engine(), what="stop", tell=note) as stack:
        chosen = stack.known(services or None)
        found = statuses(stack)
        running = [each.name for each in found if each.state in _RUNS and each.name in chosen]
        if not running:
            what = ", ".join(services) or stack.identity.project
            note(f"nothing to stop: {what} does not run")
            return
        note(f"stopping {', '.join(running)} ...")
        stack.stop(running)
    note("stopped")
