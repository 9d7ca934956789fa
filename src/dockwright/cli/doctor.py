"""``dockwright doctor``: check that stacks can run here, and say what to do where they cannot."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dockwright.cli._checks import check_engine, check_host
from dockwright.cli._common import json_option
from dockwright.cli._engine import current_engine
from dockwright.cli._findings import report
from dockwright.errors import DockwrightError
from dockwright.lifecycle import Finding, unusable
from dockwright.places import state_directory
from dockwright.pool import KeptStacks


@click.command(
    epilog="""\b
Examples:
  dockwright doctor
  dockwright --engine ssh://me@build-host doctor
  dockwright doctor --json | jq '.findings[] | select(.status != "ok")'
"""
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check that stacks can run here.

    Looks at the engine, permissions, versions, disk, address pools, and what earlier runs left.
    Every bad finding comes with a remedy. Exits with 1 if stacks cannot run.
    """
    ctx.exit(report(list(_findings()), as_json=as_json))


def _findings() -> Iterator[Finding]:
    state = state_directory()
    try:
        yield from check_engine(current_engine(), KeptStacks(state / "kept"))
    except DockwrightError as failure:
        yield unusable(failure)
    yield from check_host(state)
