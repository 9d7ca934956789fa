"""How many stacks may exist at once: memory that is there against memory that a stack takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import psutil

from dockwright.engine import Engine, parallel
from dockwright.measure import GoneError, container_gauge
from dockwright.model import Json, ServiceSpec, StackSpec

_UNKNOWN_SERVICE_BYTES = 192 << 20
"""Taken for a service that declares no limit, until a running stack was measured."""

_MARGIN = 1.3  # a stack that was measured at rest takes more when it works
_RESERVE = 0.15  # of the memory that is available now, left to everybody else
_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def declared_bytes(spec: StackSpec) -> int:
    """Return what a stack may take by its declared limits, guessing where none is declared."""
    return sum(_limit(service) for service in spec.services.values())


def measured_bytes(engine: Engine, containers: Iterable[str]) -> int:
    """Return what running containers take now, with a margin for work."""
    used = parallel.run([partial(_memory_bytes, engine, container) for container in containers])
    return int(sum(used) * _MARGIN)


def available_bytes() -> int:
    """Return the memory that more stacks may take: of the machine, or of our cgroup if less."""
    free = [psutil.virtual_memory().available]
    for limit_file, used_file in _CGROUP_FILES:
        limit, used = _number(limit_file), _number(used_file)
        if limit is not None and used is not None:
            free.append(max(0, limit - used))
    return int(min(free) * (1 - _RESERVE))


def usual_limit() -> int:
    """Return how many copies are worth having by default: more than this only crowd the cores."""
    return (os.cpu_count() or 2) + 2


def _memory_bytes(engine: Engine, container: str) -> int:
    try:
        return container_gauge(engine, container)().memory_bytes or 0
    except GoneError:  # a job that has done its work takes nothing
        return 0


def _limit(service: ServiceSpec) -> int:
    deploy = cast("Mapping[str, Json]", service.config.get("deploy") or {})
    resources = cast("Mapping[str, Mapping[str, Json]]", deploy.get("resources") or {})
    declared = (resources.get("limits") or {}).get("memory") or service.config.get("mem_limit")
    return int(str(declared)) if declared else _UNKNOWN_SERVICE_BYTES


def _number(file: str) -> int | None:
    try:
        text = Path(file).read_text().strip()
    except OSError:
        return None
    # "max" in version 2; version 1 spells "no limit" as a number close to 2**63.
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None
