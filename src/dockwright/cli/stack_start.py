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
from dockwright.cli._types import duration
from dockwright.lifecycle import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import COMPOSE_SERVICE, Stack, start_whole


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
@click.option(
    "--timeout",
    "timeout_s",
    metavar="DURATION",
    type=duration,
    default="2m",
    show_default=True,
    envvar="DOCKWRIGHT_START_TIMEOUT",
    help="How long one service may take to become ready.",
)
def start(spec: StackSpec, services: tuple[str, ...], timeout_s: float) -> None:
    """Start services, with what they depend on, and wait until all is ready.

    What runs unchanged is left as it is. A service whose configuration or image has changed gets a
    new container, with its volumes. If the start fails, or Ctrl-C ends it, what it made is removed
    again; volumes that were there before always stay.
    """
    began = time.monotonic()
    stack = long_lived_stack(spec, current_engine(), timeout_s=timeout_s)
    units = stack.known_with_dependencies(services or stack.known(None))
    with shown(units, _running(stack)) as listener:
        interruptible(
            partial(start_whole, stack, units, listener=listener),
            stack.cancel,
            doing="taking back what was started",
        )
    note(f"{stack.identity.project} is ready after {time.monotonic() - began:.1f} s")
    _print_addresses(stack, units)


def _running(stack: Stack) -> set[str]:
    containers = stack.engine.list_containers(stack.identity.selector(), all=False)
    processes = stack.processes.items()
    return {each["Labels"][COMPOSE_SERVICE] for each in containers} | {
        name for name, process in processes if process.running and not process.outdated
    }


def _print_addresses(stack: Stack, units: list[str]) -> None:
    rows = [
        (unit, port, address)
        for unit in units
        for port, address in stack.addresses.published(unit).items()
    ]
    if rows:
        print_table(("SERVICE", "PORT", "ADDRESS"), rows)
