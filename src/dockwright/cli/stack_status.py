"""``dockwright stack status``: what of the long-lived stack runs, and where it is reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from dockwright.cli._engine import current_engine
from dockwright.cli._interrupt import until_ctrl_c
from dockwright.cli._options import compose_options
from dockwright.cli._output import age, is_terminal, print_json, print_table, rich_table
from dockwright.engine import Engine
from dockwright.lifecycle import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import UnitStatus, statuses

_REFRESH_S = 2.0
_HEADERS = ("SERVICE", "STATE", "HEALTH", "UPTIME", "PORTS", "CONTAINER OR PROCESS")


@click.command(
    epilog="""\b
Examples:
  dockwright stack status
  dockwright stack status --watch
  dockwright stack status --json | jq -r '.services[] | select(.state != "running") | .name'
"""
)
@compose_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--watch", is_flag=True, help="Show every change until Ctrl-C.")
def status(spec: StackSpec, *, as_json: bool, watch: bool) -> None:
    """Show every service with its state, health, uptime and ports."""
    engine = current_engine()
    if not watch:
        _print(spec, _statuses(spec, engine), as_json=as_json)
        return
    with until_ctrl_c():
        if is_terminal(sys.stdout) and not as_json:
            _watch_live(spec, engine)
        else:
            _watch_changes(spec, engine, as_json=as_json)


def _statuses(spec: StackSpec, engine: Engine) -> list[UnitStatus]:
    return statuses(long_lived_stack(spec, engine))


def _print(spec: StackSpec, found: Sequence[UnitStatus], *, as_json: bool) -> None:
    if as_json:
        print_json({"project": spec.name, "services": [_document(each) for each in found]})
    else:
        print_table(_HEADERS, [_row(each) for each in found])
    sys.stdout.flush()


def _watch_live(spec: StackSpec, engine: Engine) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for found in _looks(spec, engine):
            live.update(rich_table(_HEADERS, [_row(each) for each in found]), refresh=True)


def _watch_changes(spec: StackSpec, engine: Engine, *, as_json: bool) -> None:
    last: object = None
    for found in _looks(spec, engine):
        now = [(each.name, each.state, each.health, each.identifier) for each in found]
        if now != last:
            _print(spec, found, as_json=as_json)
            last = now


def _looks(spec: StackSpec, engine: Engine) -> Iterator[list[UnitStatus]]:
    """Look at once, then whenever the engine tells of something, and every 2 s."""
    with engine.events.subscribe() as events:
        while True:
            yield _statuses(spec, engine)
            events.get(_REFRESH_S)


def _row(each: UnitStatus) -> tuple[str, ...]:
    state = f"{each.state} ({each.exit_code})" if each.exit_code is not None else each.state
    ports = ", ".join(f"{address}->{port}" for port, address in each.ports.items())
    kind = f"pid {each.identifier}" if each.kind == "process" and each.identifier else ""
    return (each.name, state, each.health, age(each.uptime_s), ports, kind or each.identifier)


def _document(each: UnitStatus) -> dict[str, object]:
    return {
        "name": each.name,
        "kind": each.kind,
        "state": each.state,
        "health": each.health or None,
        "exit_code": each.exit_code,
        "uptime_s": None if each.uptime_s is None else round(each.uptime_s, 3),
        "ports": dict(each.ports),
        "container" if each.kind == "service" else "pid": each.identifier or None,
    }
