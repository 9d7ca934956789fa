"""``dockwright stack check``: whether the stack can run as declared, and what to do if not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dockwright.cli._common import json_option
from dockwright.cli._engine import current_engine
from dockwright.cli._findings import report
from dockwright.cli._options import completed, current_home, given_options
from dockwright.compose import LoadOptions, load, locate
from dockwright.errors import DockwrightError
from dockwright.lifecycle import (
    Finding,
    check_configuration,
    check_stack,
    check_state,
    engine_findings,
    identity_of,
    unusable,
)
from dockwright.model import StackSpec
from dockwright.places import state_directory


@click.command(
    epilog="""\b
Examples:
  dockwright stack check
  dockwright stack check -p shop               an installed stack, from anywhere
  dockwright stack check --json | jq '.findings[] | select(.status == "fail")'
"""
)
@given_options
@json_option
@click.pass_context
def check(ctx: click.Context, options: LoadOptions, base: Path, *, as_json: bool) -> None:
    """Check that the stack can run: configuration, secrets, engine, disk, ports, images.

    Changes nothing. Every bad finding comes with a remedy. Exits with 1 if a check fails.
    """
    ctx.exit(report(list(_findings(options, base)), as_json=as_json))


def _findings(options: LoadOptions, base: Path) -> Iterator[Finding]:
    spec: StackSpec | None = None
    try:
        options = completed(options, base)
        variables = locate(options).variables
        spec = load(options)
        yield from check_configuration(spec, current_home(), variables)
    except DockwrightError as failure:
        yield unusable(failure, "configuration", "put it right where the message says")
        yield check_state(state_directory())
    try:
        engine = current_engine()
        if spec is None:
            yield from engine_findings(engine)
        else:
            yield from check_stack(spec, engine, identity_of(spec.name, spec.working_dir))
    except DockwrightError as failure:
        yield unusable(failure)
