"""What a running copy of a stack looks like to a reader."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from dockwright.engine import parallel, parse_time
from dockwright.errors import DockwrightError
from dockwright.stack.view import StackView
from dockwright.wait import ContainerTarget, Healthy, wait_for

_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """One service or native process.

    Attributes:
        name: its name.
        kind: which of the two.
        state: the engine's word (``running``, ``exited``, ...), or ``missing``.
        health: ``healthy``, ``unhealthy``, ``starting``, or empty where no check is declared or
            nothing runs.
        exit_code: of one that has exited, else None.
        ports: ``host:port`` by the unit's own port, e.g. ``{"8000/tcp": "127.0.0.1:49312"}``.
        uptime_s: seconds since its start, or None where it does not run.
        identifier: the container's name, or the process's pid.
    """

    name: str
    kind: Literal["service", "process"]
    state: str
    health: str
    exit_code: int | None
    ports: Mapping[str, str]
    uptime_s: float | None
    identifier: str


def statuses(stack: StackView) -> list[UnitStatus]:
    """Return the state of every unit of an attached stack, in start order."""
    return parallel.run(
        [
            partial(_process if name in stack.processes else _service, stack, name)
            for name in stack.graph.ordered()
        ]
    )


def _process(stack: StackView, name: str) -> UnitStatus:
    process = stack.processes[name]
    return UnitStatus(
        name=name,
        kind="process",
        state="running" if process.running else "missing",
        health="",
        exit_code=process.exit_code,
        ports=stack.addresses.published(name),
        uptime_s=process.uptime_s(),
        identifier=str(process.pid or ""),
    )


def _service(stack: StackView, name: str) -> UnitStatus:
    if name not in stack.containers:
        return UnitStatus(name, "service", "missing", "", None, {}, None, "")
    details = stack.engine.inspect_container(stack.containers[name])
    state = details["State"]
    running = state["Status"] in ("running", "paused")
    started = parse_time(state["StartedAt"]) if running else None
    return UnitStatus(
        name=name,
        kind="service",
        state=state["Status"],
        health=_health(stack, name, state) if running else "",
        exit_code=None if running else state["ExitCode"],
        ports=stack.addresses.published(name) if running else {},
        uptime_s=None if started is None else max(0.0, time.time() - started),
        identifier=details["Name"].lstrip("/"),
    )


def _health(stack: StackView, name: str, state: Mapping[str, Any]) -> str:
    said = str((state.get("Health") or {}).get("Status", ""))
    if said != "starting":
        return said
    # The engine looks for the first time after a whole interval, 30 s by default: look ourselves.
    target = ContainerTarget(stack.engine, stack.containers[name], name=name)
    try:
        wait_for(target, Healthy(), timeout_s=_LOOK_S)
    except DockwrightError:
        return said
    return "healthy"
