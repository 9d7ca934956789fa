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
  dockwright stack start web                web and its dependencies
  dockwright stack start -p shop-2          under another project name
  dockwright stack start --timeout 5m       for slow services
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@timeout_option
def start(spec: StackSpec, services: tuple[str, ...], timeout_s: float) -> None:
    """Start services and their dependencies, and wait until they are ready.

    Services that already run unchanged are left alone. A service whose configuration or image has
    changed gets a new container with the same volumes. If the start fails, or you press Ctrl-C,
    what it created is removed again; existing volumes are always kept.
    """
    began = time.monotonic()
    engine = current_engine()
    with locked_stack(spec, engine, what="start", notify=note, timeout_s=timeout_s) as stack:
        units = stack.known_with_dependencies(services or stack.known(None))
        with noting_images(engine, spec, units), shown(units, running_units(stack)) as listener:
            interruptible(
                partial(start_whole, stack, units, listener=listener),
                stack.cancel,
                doing="removing what was started",
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
  dockwright stack stop web      only web
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def stop(spec: StackSpec, services: tuple[str, ...]) -> None:
    """Stop services, with the stop signal and grace period that they declare.

    Containers, networks and volumes are kept: 'start' starts the services again, 'uninstall'
    removes them.
    """
    with locked_stack(spec, current_engine(), what="stop", notify=note) as stack:
        chosen = stack.known(services or None)
        found = statuses(stack)
        running = [unit.name for unit in found if unit.state in _RUNS and unit.name in chosen]
        if not running:
            what = ", ".join(services) or stack.identity.project
            note(f"nothing to stop: {what} is not running")
            return
        note(f"stopping {', '.join(running)} ...")
        stack.stop(running)
    note("stopped")


@click.command(
    epilog="""\b
Examples:
  dockwright stack restart          everything
  dockwright stack restart web      only web
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
def restart(spec: StackSpec, services: tuple[str, ...]) -> None:
    """Stop services, start the same containers again, and wait until they are ready.

    This does not apply a changed configuration: 'start' does.
    """
    with locked_stack(spec, current_engine(), what="restart", notify=note) as stack:
        chosen = stack.known(services or None)
        absent = [name for name in chosen if name in spec.services and name not in stack.containers]
        if absent:
            raise StackError(
                f"stack {spec.name}: {', '.join(absent)} was never started",
                hint="start it with `dockwright stack start`",
            )
        note(f"restarting {', '.join(chosen)} ...")
        with shown(chosen) as listener:
            interruptible(
                partial(stack.restart, chosen, listener=listener),
                stack.cancel,
                doing="cancelling the restart",
            )
