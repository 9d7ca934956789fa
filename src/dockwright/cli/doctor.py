"""``dockwright doctor``: check that stacks can run here, and say what to do where they cannot."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dockwright.cli._checks import Finding, check_engine, check_host, unusable
from dockwright.cli._engine import current_engine
from dockwright.cli._output import counted, note, print_json, print_table
from dockwright.errors import DockwrightError
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check that stacks can run here.

    Looks at the engine, permissions, versions, disk, address pools, and what earlier runs left.
    Every bad finding comes with a remedy. Exits with 1 if stacks cannot run.
    """
    findings = list(_findings())
    failed = [finding for finding in findings if finding.status == "fail"]
    if as_json:
        print_json(
            {
                "ok": not failed,
                "findings": [
                    {
                        "name": finding.name,
                        "status": finding.status,
                        "detail": finding.detail,
                        "remedy": finding.remedy if finding.status != "ok" else None,
                    }
                    for finding in findings
                ],
            }
        )
    else:
        _show(findings)
    if failed:
        ctx.exit(1)


def _findings() -> Iterator[Finding]:
    state = state_directory()
    try:
        yield from check_engine(current_engine(), KeptStacks(state / "kept"))
    except DockwrightError as failure:
        yield unusable(failure)
    yield from check_host(state)


def _show(findings: list[Finding]) -> None:
    print_table(
        ("CHECK", "STATUS", "FOUND"),
        [(finding.name, finding.status, finding.detail) for finding in findings],
    )
    bad = [finding for finding in findings if finding.status != "ok"]
    for finding in bad:
        note(f"{finding.status}: {finding.name}: {finding.remedy}")
    if not bad:
        note(f"{counted(len(findings), 'check')}, nothing to do")
