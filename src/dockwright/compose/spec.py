"""Puts a normalised project into the frozen `StackSpec` that the rest of dockwright works with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dockwright.compose.canonical import canonical
from dockwright.compose.content import content_hash
from dockwright.compose.source import Origins, Tree
from dockwright.compose.units import parse_duration
from dockwright.compose.warnings import Warnings
from dockwright.compose.x_dockwright import read_cache, read_processes, read_service_options
from dockwright.model import Dependency, Healthcheck, Json, ServiceSpec, StackSpec


def build_spec(
    tree: Tree,
    name: str,
    directory: Path,
    files: tuple[Path, ...],
    origins: Origins,
    warnings: Warnings,
) -> StackSpec:
    """Return the spec of a normalised, consistent project.

    Raises:
        ComposeError: a value that cannot be read, or a wrong ``x-dockwright``.
    """
    document = canonical(tree, origins, "json")
    services = {
        key: _service(key, service, document["services"][key], origins)
        for key, service in tree["services"].items()
    }
    processes = read_processes(tree, directory, services, origins)
    return StackSpec(
        name=name,
        working_dir=directory,
        files=files,
        document=document,
        yaml_document=canonical(tree, origins, "yaml"),
        services=services,
        processes=processes,
        content_hash=content_hash(tree, document, services, processes),
        warnings=warnings.all(),
        cache=read_cache(tree),
    )


def check_values(tree: Tree, declared: Mapping[str, Tree], origins: Origins) -> None:
    """Read the values of services that no profile enables, and of what no service uses.

    Raises:
        ComposeError: a value that cannot be read, as in Compose.
    """
    disabled = {name: declared[name] for name in declared if name not in tree["services"]}
    canonical({**tree, "services": disabled}, origins, "json")


def _service(name: str, service: Tree, config: Mapping[str, Any], origins: Origins) -> ServiceSpec:
    own = read_service_options(name, service, origins)
    declared = config.get("healthcheck") or {}
    test = tuple(declared.get("test") or ())
    disabled = bool(declared.get("disable")) or test[:1] == ("NONE",)
    return ServiceSpec(
        name=name,
        config=config,
        depends_on=_dependencies(service, config),
        healthcheck=_healthcheck(test, declared) if test and not disabled else None,
        healthcheck_disabled=disabled,
        reset=own.reset,
        options=own.options,
        ready=own.ready,
        cache=read_cache(service),
        durable=own.durable,
    )


def _dependencies(service: Tree, config: Mapping[str, Any]) -> tuple[Dependency, ...]:
    written = config.get("depends_on") or {}
    return tuple(
        Dependency(
            service=other,
            condition=written[other]["condition"],
            required=written[other].get("required", True),
            restart=written[other].get("restart", False),
        )
        for other in service.get("depends_on") or ()
    )


def _healthcheck(test: tuple[str, ...], declared: Mapping[str, Json]) -> Healthcheck:
    def seconds(key: str, default: float) -> float:
        text = declared.get(key)
        return parse_duration(text) / 1e9 if isinstance(text, str) else default

    retries = declared.get("retries")
    standard = Healthcheck(test)
    return Healthcheck(
        test=test,
        interval_s=seconds("interval", standard.interval_s),
        timeout_s=seconds("timeout", standard.timeout_s),
        retries=retries if isinstance(retries, int) else standard.retries,
        start_period_s=seconds("start_period", standard.start_period_s),
    )
