"""``dockwright stack status``: what of the long-lived stack runs, and where it is reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from dockwright._text import age, format_size
from dockwright.cli.errors import until_ctrl_c
from dockwright.cli.options import compose_options, current_engine, json_option
from dockwright.cli.output import is_terminal, print_json, print_table, rich_table
from dockwright.engine import Engine
from dockwright.managed import StatusSampler, UnitSample, long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import COMPOSE_PROJECT, UnitStatus

_REFRESH_S = 2.0
_HEADERS = ("SERVICE", "STATE", "HEALTH", "UPTIME", "CPU", "MEMORY", "PORTS")
_WHOLE = len(_HEADERS) - 1


@click.command(
    epilog="""\b
Examples:
  dockwright stack status
  dockwright stack status --watch
  dockwright stack status --json | jq -r '.services[] | select(.state != "running") | .name'
"""
)
@compose_options
@json_option
@click.option("--watch", is_flag=True, help="Show every change until Ctrl-C.")
def status(spec: StackSpec, *, as_json: bool, watch: bool) -> None:
    """Show every service with its state, health, uptime, use of the machine, and ports.

    Health is what an HTTP page answers, else whether a port accepts connections, else what the
    declared health check says; which of them is named beside it. CPU is in percent of one
    processor, just now. Ctrl-C ends --watch.
    """
    engine = current_engine()
    if not watch:
        _print(spec, StatusSampler().look(long_lived_stack(spec, engine)), as_json=as_json)
        return
    with until_ctrl_c(exit_code=0):
        if is_terminal(sys.stdout) and not as_json:
            _watch_live(spec, engine)
        else:
            _watch_changes(spec, engine, as_json=as_json)


def _print(spec: StackSpec, found: Sequence[UnitSample], *, as_json: bool) -> None:
    if as_json:
        print_json({"project": spec.name, "services": [_document(each) for each in found]})
    else:
        print_table(_HEADERS, [_row(each) for each in found], whole=_WHOLE)
    sys.stdout.flush()


def _watch_live(spec: StackSpec, engine: Engine) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for found in _looks(spec, engine):
            table = rich_table(_HEADERS, [_row(each) for each in found], whole=_WHOLE)
            live.update(table, refresh=True)


def _watch_changes(spec: StackSpec, engine: Engine, *, as_json: bool) -> None:
    last: object = None
    for found in _looks(spec, engine):
        now = [
            (each.unit.name, each.unit.state, each.health.verdict, each.unit.identifier)
            for each in found
        ]
        if now != last:
            _print(spec, found, as_json=as_json)
            last = now


def _looks(spec: StackSpec, engine: Engine) -> Iterator[list[UnitSample]]:
    """Look at once, then whenever the engine tells of the stack's containers, and every 2 s."""
    looker = StatusSampler()
    with engine.events.subscribe(labels={COMPOSE_PROJECT: spec.name}) as events:
        while True:
            yield looker.look(long_lived_stack(spec, engine))
            events.get(_REFRESH_S)


def _row(each: UnitSample) -> tuple[str, ...]:
    unit = each.unit
    ports = ", ".join(f"{address}->{port}" for port, address in unit.ports.items())
    cpu = "" if each.cpu_percent is None else f"{each.cpu_percent:.1f} %"
    memory = "" if each.memory_bytes is None else format_size(each.memory_bytes)
    health = str(each.health)
    return (unit.name, _state(unit), health, age(unit.uptime_s), cpu, memory, ports)


def _state(unit: UnitStatus) -> str:
    if unit.exit_code is not None:
        return f"{unit.state} ({unit.exit_code})"
    pid = unit.identifier if unit.kind == "process" else ""
    return f"{unit.state} (pid {pid})" if pid else unit.state


def _document(each: UnitSample) -> dict[str, object]:
    unit, health = each.unit, each.health
    return {
        "name": unit.name,
        "kind": unit.kind,
        "state": unit.state,
        "health": health.verdict or None,
        "health_source": health.source or None,
        "health_detail": health.detail or None,
        "exit_code": unit.exit_code,
        "uptime_s": None if unit.uptime_s is None else round(unit.uptime_s, 3),
        "cpu_percent": None if each.cpu_percent is None else round(each.cpu_percent, 1),
        "memory_bytes": each.memory_bytes,
        "ports": dict(unit.ports),
        "container" if unit.kind == "service" else "pid": unit.identifier or None,
    }
