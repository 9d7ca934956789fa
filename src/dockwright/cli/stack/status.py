"""``dockwright stack status``: which services of a long-lived stack run, and their addresses."""

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
@click.option("--watch", is_flag=True, help="Keep showing changes until Ctrl-C.")
def status(spec: StackSpec, *, as_json: bool, watch: bool) -> None:
    """Show the state, health, uptime, CPU, memory and ports of each service.

    Health comes from an HTTP request, else from a TCP connection, else from the declared health
    check; the source is in parentheses. CPU is the current percentage of one processor.
    """
    engine = current_engine()
    if not watch:
        _print(spec, StatusSampler().sample(long_lived_stack(spec, engine)), as_json=as_json)
        return
    with until_ctrl_c(exit_code=0):
        if is_terminal(sys.stdout) and not as_json:
            _watch_live(spec, engine)
        else:
            _watch_changes(spec, engine, as_json=as_json)


def _print(spec: StackSpec, found: Sequence[UnitSample], *, as_json: bool) -> None:
    if as_json:
        print_json({"project": spec.name, "services": [_document(sample) for sample in found]})
    else:
        print_table(_HEADERS, [_row(sample) for sample in found], whole=_WHOLE)
    sys.stdout.flush()


def _watch_live(spec: StackSpec, engine: Engine) -> None:
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        for found in _samples(spec, engine):
            table = rich_table(_HEADERS, [_row(sample) for sample in found], whole=_WHOLE)
            live.update(table, refresh=True)


def _watch_changes(spec: StackSpec, engine: Engine, *, as_json: bool) -> None:
    last: object = None
    for found in _samples(spec, engine):
        now = [
            (sample.unit.name, sample.unit.state, sample.health.verdict, sample.unit.identifier)
            for sample in found
        ]
        if now != last:
            _print(spec, found, as_json=as_json)
            last = now


def _samples(spec: StackSpec, engine: Engine) -> Iterator[list[UnitSample]]:
    """Sample at once, then after each event of the stack's containers, and every 2 s."""
    sampler = StatusSampler()
    with engine.events.subscribe(labels={COMPOSE_PROJECT: spec.name}) as events:
        while True:
            yield sampler.sample(long_lived_stack(spec, engine))
            events.get(_REFRESH_S)


def _row(sample: UnitSample) -> tuple[str, ...]:
    unit = sample.unit
    ports = ", ".join(f"{address}->{port}" for port, address in unit.ports.items())
    cpu = "" if sample.cpu_percent is None else f"{sample.cpu_percent:.1f} %"
    memory = "" if sample.memory_bytes is None else format_size(sample.memory_bytes)
    health = str(sample.health)
    return (unit.name, _state(unit), health, age(unit.uptime_s), cpu, memory, ports)


def _state(unit: UnitStatus) -> str:
    if unit.exit_code is not None:
        return f"{unit.state} ({unit.exit_code})"
    pid = unit.identifier if unit.kind == "process" else ""
    return f"{unit.state} (pid {pid})" if pid else unit.state


def _document(sample: UnitSample) -> dict[str, object]:
    unit, health = sample.unit, sample.health
    return {
        "name": unit.name,
        "kind": unit.kind,
        "state": unit.state,
        "health": health.verdict or None,
        "health_source": health.source or None,
        "health_detail": health.detail or None,
        "exit_code": unit.exit_code,
        "uptime_s": None if unit.uptime_s is None else round(unit.uptime_s, 3),
        "cpu_percent": None if sample.cpu_percent is None else round(sample.cpu_percent, 1),
        "memory_bytes": sample.memory_bytes,
        "ports": dict(unit.ports),
        "container" if unit.kind == "service" else "pid": unit.identifier or None,
    }
