"""``dockwright stack start``, ``stop`` and ``restart``."""

from __future__ import annotations

import time
from functools import partial

import click

from dockwright.cli.errors import interruptible
from dockwright.cli.options import compose_options, current_engine, running_units, timeout_option
from dockwright.cli.output import note, print_table
from dockwright.cli.progress import shown
from dockwright.errors import StackError
from dockwright.managed import locked_stack, noting_images
from dockwright.model import StackSpec
from dockwright.stack import Stack, start_whole, statuses


@click.command(
    epilog="""\b
Examples:
  dockwright stack start                    everything
  dockwright stack start web                web, and what it depends on
  dockwright stack start -p shop-2          under another project name
  dockwright stack start --timeout 5m       with slow services
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@timeout_option
def start(spec: StackSpec, services: tuple[str, ...], timeout_s: float) -> None:
    """Start services, with what they depend on, and wait until all is ready.

    What runs unchanged is left as it is. A service whose configuration or image has changed gets a
    new container, with its volumes. If the start fails, or Ctrl-C ends it, what it made is removed
    again; volumes that were there before always stay.
    """
    began = time.monotonic()
    engine = current_engine()
    with locked_stack(spec, engine, what="start", tell=note, timeout_s=timeout_s) as stack:
        units = stack.known_with_dependencies(services or stack.known(None))
        with noting_images(engine, spec, units), shown(units, running_units(stack)) as listener:
            interruptible(
                partial(start_whole, stack, units, listener=listener),
                stack.cancel,
                doing="taking back what was started",
            )
    note(f"{stack.identity.project} is ready after {time.monotonic() - began:.1f} s")
    _print_addresses(stack, units)


def _print_addresses(stack: Stack, units: list[str]) -> None:
    rows = [
        (unit, port, address)
        for unit in units
        for port, address in stack.addresses.published(unit).items()
    ]
    if rows:
        print_table(("SERVICE", "PORT", "ADDRESS"), rows)


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
    with locked_stack(spec, current_engine(), what="stop", tell=note) as stack:
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
    with locked_stack(spec, current_engine(), what="restart", tell=note) as stack:
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
