"""``dockwright stack uninstall``: remove the long-lived stack."""

from __future__ import annotations

import sys

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._options import compose_options
from dockwright.cli._output import counted, note, print_table
from dockwright.errors import UsageError
from dockwright.lifecycle import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import Stack, marked_processes


@click.command(
    epilog="""\b
Examples:
  dockwright stack uninstall                     containers and networks; asks first
  dockwright stack uninstall --volumes           also the data
  dockwright stack uninstall --volumes --force   without asking, for scripts
"""
)
@compose_options
@click.option("--volumes", is_flag=True, help="Also remove the volumes: the data is lost.")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_context
def uninstall(ctx: click.Context, spec: StackSpec, *, volumes: bool, force: bool) -> None:
    """Remove the stack's containers, networks and native processes; with --volumes its data too.

    Only what dockwright made for this stack goes. Images and external networks and volumes stay.
    """
    stack = long_lived_stack(spec, current_engine())
    doomed = _belongings(stack)
    kept = [] if volumes else [name for kind, name in doomed if kind == "volume"]
    doomed = [each for each in doomed if volumes or each[0] != "volume"]
    if doomed:
        print_table(("WHAT GOES", "NAME"), doomed)
        if not force and not _confirmed(stack):
            note("nothing was removed")
            ctx.exit(1)
        if not volumes:
            stack.stop()  # its data stays: it is to be written out in order
        stack.remove(volumes=volumes)
        note(f"removed {counted(len(doomed), 'thing')} of {stack.identity.project}")
    else:
        note(f"nothing to remove: there is no stack {stack.identity.project}")
    if kept:
        note(f"{counted(len(kept), 'volume')} left ({', '.join(kept)}): --volumes removes the data")


def _belongings(stack: Stack) -> list[tuple[str, str]]:
    labels = stack.identity.selector()
    containers = stack.engine.list_containers(labels)
    return [
        *(("container", each["Names"][0].lstrip("/")) for each in containers),
        *(
            ("process", f"{each.unit} (pid {each.process.pid})")
            for each in marked_processes(stack.identity.project)
            if each.is_leader
        ),
        *(("network", each["Name"]) for each in stack.engine.list_networks(labels)),
        *(("volume", each["Name"]) for each in stack.engine.list_volumes(labels)),
    ]


def _confirmed(stack: Stack) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            f"uninstall asks before it removes {stack.identity.project}, and here is no terminal",
            hint="add --force to remove without asking",
        )
    return click.confirm("Remove all of this?", err=True)
