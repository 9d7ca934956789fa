"""``dockwright stack restart``: stop services of the long-lived stack and start them again."""

from __future__ import annotations

from functools import partial

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._interrupt import interruptible
from dockwright.cli._options import compose_options
from dockwright.cli._output import note
from dockwright.cli._progress import shown
from dockwright.errors import StackError
from dockwright.lifecycle import changing
from dockwright.model import StackSpec


@click.command(
    epilog="""\b
Examples:
  dockwright stack restart          everything
  dockwright stack restart web      only this one
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def restart(spec: StackSpec, services: tuple[str, ...]) -> None:
    """Stop services, start the same containers again, and wait until they are ready.

    A changed configuration does not count here: 'start' puts it into effect.
    """
    with changing(spec, current_engine(), what="restart", tell=note) as stack:
        chosen = stack.known(services or None)
        absent = [name for name in chosen if name in spec.services and name not in stack.containers]
        if absent:
            raise StackError(
                f"stack {spec.name}: {', '.join(absent)} was never started",
                hint="`dockwright stack start` creates it",
            )
        note(f"restarting {', '.join(chosen)} ...")
        with shown(chosen) as listener:
            interruptible(
                partial(stack.restart, chosen, listener=listener),
                stack.cancel,
                doing="ending the restart",
            )
