"""``dockwright stack start``: bring the long-lived stack up, whole or not at all."""

from __future__ import annotations

import time
from functools import partial

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._interrupt import interruptible
from dockwright.cli._options import compose_options
from dockwright.cli._output import note, print_table
from dockwright.cli._progress import shown
from dockwright.cli._start import running_units, timeout_option
from dockwright.lifecycle import changing, noting_images
from dockwright.model import StackSpec
from dockwright.stack import Stack, start_whole


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
    with changing(spec, engine, what="start", tell=note, timeout_s=timeout_s) as stack:
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
