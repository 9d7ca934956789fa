"""``x-dockwright``: dockwright's own settings in a Compose file.

In a service: ``reset``, the strategy that resets it, and ``options`` for it; ``ready``, the
condition for readiness; ``cache``, whether later runs may reuse its volumes; ``durable``, whether a
database syncs to disk. At the top: ``processes``, native processes that run beside the containers;
``cache``, for the whole stack; ``secrets``, variables that `dockwright stack install` generates.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from dockwright.compose.checks import check_cycles
from dockwright.compose.fields import LIST, PAIRS, STR
from dockwright.compose.paths import absolute
from dockwright.compose.shapes import (
    AnyOf,
    Anything,
    ListOf,
    MapOf,
    Scalar,
    Struct,
    check,
    reporter,
)
from dockwright.compose.short_forms import pairs
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.compose.units import parse_duration
from dockwright.model import Dependency, DependencyCondition, Json, ProcessSpec, ServiceSpec

KEY = "x-dockwright"
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_DEPENDENCY = Struct(
    {
        "condition": Scalar(("string",), _CONDITIONS),
        "required": Scalar(("boolean",)),
        "restart": Scalar(("boolean",)),
    },
    extensions="refused",
)
_READY = AnyOf((STR, MapOf(Anything())))
_PROCESS = Struct(
    {
        "command": AnyOf((STR, LIST)),
        "environment": PAIRS,
        "cwd": STR,
        "depends_on": AnyOf((ListOf(STR, unique=True), MapOf(_DEPENDENCY))),
        "ready": _READY,
        "reset": Scalar(("string",), ("none", "restart")),
        "stop_signal": STR,
        "stop_grace_period": Scalar(("string", "number")),
    },
    required=("command",),
    extensions="refused",
)
_BOOL = Scalar(("boolean",))
_TOP = Struct(
    {"processes": MapOf(_PROCESS), "cache": _BOOL, "secrets": ListOf(STR, unique=True)},
    extensions="refused",
)
_SERVICE = Struct(
    {
        "reset": STR,
        "options": MapOf(Anything()),
        "ready": _READY,
        "cache": _BOOL,
        "durable": _BOOL,
    },
    extensions="refused",
)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The settings of a service under ``x-dockwright``; the fields are those of `ServiceSpec`."""

    reset: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    ready: Mapping[str, Json] = field(default_factory=dict)
    durable: bool = False


def read_service_options(name: str, service: Tree, origins: Origins) -> ServiceOptions:
    """Return the ``x-dockwright`` settings of one service.

    Raises:
        ComposeError: an unknown key or a wrong type.
    """
    described = service.get(KEY)
    if described is None:
        return ServiceOptions()
    path = ("services", name, KEY)
    check(described, _SERVICE, path, reporter(origins), partial=False)
    return ServiceOptions(
        reset=described.get("reset"),
        options=described.get("options") or {},
        ready=_condition(described.get("ready"), (*path, "ready"), origins),
        durable=described.get("durable", False),
    )


def read_cache(described: Tree) -> bool | None:
    """Return the ``cache`` setting of a service or project, or None if it has none."""
    answer: bool | None = (described.get(KEY) or {}).get("cache")
    return answer


def declared_processes(tree: Tree, origins: Origins) -> dict[str, Tree]:
    """Return the native processes of a project as they are declared, by name.

    Raises:
        ComposeError: an unknown key or a wrong type in the project's ``x-dockwright``.
    """
    top = tree.get(KEY)
    if top is None:
        return {}
    check(top, _TOP, (KEY,), reporter(origins), partial=False)
    return top.get("processes") or {}


def read_processes(
    tree: Tree, directory: Path, services: Mapping[str, ServiceSpec], origins: Origins
) -> dict[str, ProcessSpec]:
    """Return the native processes of a project by name.

    Raises:
        ComposeError: an unknown key or wrong type, a name that is also a service's, a missing
            dependency, or a circular dependency of processes and services.
    """
    result = {}
    for name, process in declared_processes(tree, origins).items():
        path = (KEY, "processes", name)
        if name in services:
            raise origins.error(
                path,
                f"a service is also named {name!r}; services and processes share one namespace",
            )
        result[name] = _process(name, process, path, directory, origins)
    for name, spec in result.items():
        for dependency in spec.depends_on:
            if dependency.required and dependency.service not in {*services, *result}:
                place = (KEY, "processes", name, "depends_on")
                message = f"no enabled service or process {dependency.service!r}"
                raise origins.error(place, message)
    everything: dict[str, ServiceSpec | ProcessSpec] = {**services, **result}
    check_cycles(
        {name: [d.service for d in spec.depends_on] for name, spec in everything.items()},
        origins,
        lambda name: (KEY, "processes", name) if name in result else ("services", name),
    )
    return result


def _process(
    name: str, process: Tree, path: DocPath, directory: Path, origins: Origins
) -> ProcessSpec:
    declared = process.get("ready")
    timeout = declared.get("timeout") if isinstance(declared, dict) else None
    if timeout is not None:
        declared = {key: value for key, value in declared.items() if key != "timeout"}
    ready = _condition(declared, (*path, "ready"), origins)
    defaults = ProcessSpec(name, (), {}, directory)
    return ProcessSpec(
        name=name,
        command=_command(process["command"], (*path, "command"), origins),
        environment={key: text or "" for key, text in pairs(process.get("environment")).items()},
        cwd=Path(absolute(process.get("cwd") or ".", directory)),
        depends_on=_dependencies(process.get("depends_on")),
        ready=ready,
        ready_timeout_s=_seconds(
            timeout, defaults.ready_timeout_s, (*path, "ready", "timeout"), origins
        ),
        stop_signal=_signal(
            process.get("stop_signal") or defaults.stop_signal, (*path, "stop_signal"), origins
        ),
        stop_grace_s=_seconds(
            process.get("stop_grace_period"),
            defaults.stop_grace_s,
            (*path, "stop_grace_period"),
            origins,
        ),
        stateless=process.get("reset") == "none",
    )


def _condition(declared: Tree, path: DocPath, origins: Origins) -> dict[str, Json]:
    ready = {declared: None} if isinstance(declared, str) else dict(declared or {})
    if len(ready) > 1:
        message = f"takes one condition, not {' and '.join(ready)}"
        raise origins.error(path, message, hint="put several conditions below 'all_of' or 'any_of'")
    return ready


def _command(value: Tree, path: DocPath, origins: Origins) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(value) if isinstance(value, str) else value)
    except ValueError as exc:
        raise origins.error(path, f"{value!r} cannot be split into words: {exc}") from exc
    if not words:
        raise origins.error(path, "is empty")
    return words


def _dependencies(value: Tree) -> tuple[Dependency, ...]:
    if isinstance(value, list):
        return tuple(Dependency(name) for name in value)
    return tuple(
        Dependency(
            service=name,
            condition=cast(DependencyCondition, entry.get("condition", "service_started")),
            required=entry.get("required", True),
            restart=entry.get("restart", False),
        )
        for name, entry in (value or {}).items()
    )


def _signal(name: str, path: DocPath, origins: Origins) -> str:
    full = name if name.startswith("SIG") else f"SIG{name}"
    if full not in signal.Signals.__members__:
        raise origins.error(path, f"unknown signal {name!r}")
    return full


def _seconds(value: Tree, default: float, path: DocPath, origins: Origins) -> float:
    if value is None:
        return default
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return parse_duration(value) / 1e9
    except ValueError as exc:
        raise origins.error(path, str(exc)) from exc
