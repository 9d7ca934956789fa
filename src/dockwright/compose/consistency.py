"""Checks what one value of a merged project says about another: references, cycles, contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dockwright.compose.source import Origins, Tree

_RESOURCES = (("volumes", "volume"), ("secrets", "secret"), ("configs", "config"))


def check_consistency(tree: Tree, origins: Origins) -> None:
    """Check the enabled services of a normalised project.

    Raises:
        ComposeError: a service without image and build, a name that is not declared, a cycle, or
            two settings that contradict each other.
    """
    services = tree.get("services") or {}
    for name, service in services.items():
        _check_service(name, service, tree, origins)
    for section in ("secrets", "configs"):
        for name, resource in (tree.get(section) or {}).items():
            _check_file_object(section, name, resource, origins)
    dependencies = {
        name: tuple(service.get("depends_on") or ()) for name, service in services.items()
    }
    check_cycles(dependencies, origins)


def check_cycles(dependencies: Mapping[str, Iterable[str]], origins: Origins) -> None:
    """Raise where services (or processes) wait for each other.

    Args:
        dependencies: what each waits for, by name.
        origins: where they stand.
    """
    done: set[str] = set()
    for start in dependencies:
        _visit(start, dependencies, [], done, origins)


def _visit(
    name: str,
    dependencies: Mapping[str, Iterable[str]],
    chain: list[str],
    done: set[str],
    origins: Origins,
) -> None:
    if name in chain:
        cycle = " -> ".join([*chain[chain.index(name) :], name])
        raise origins.error(
            ("services", name, "depends_on"), f"services wait for each other: {cycle}"
        )
    if name in done:
        return
    for other in dependencies.get(name, ()):
        _visit(other, dependencies, [*chain, name], done, origins)
    done.add(name)


def _check_service(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    path = ("services", name)
    if not service.get("image") and service.get("build") is None:
        raise origins.error(
            path, "has neither 'image' nor 'build'", hint="say which image the service runs"
        )
    _check_dependencies(name, service, tree, origins)
    _check_networks(name, service, tree, origins)
    for key, singular in _RESOURCES:
        for source in _sources(key, service):
            if source not in (tree.get(key) or {}):
                message = f"names the {singular} {source!r}, which is not declared under '{key}:'"
                raise origins.error((*path, key), message)
    _check_healthcheck(path, service, origins)
    _check_limits(path, service, origins)


def _check_dependencies(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    declared = tree["services"]
    for other, dependency in (service.get("depends_on") or {}).items():
        if other not in declared and dependency.get("required", True):
            path = ("services", name, "depends_on", other)
            raise origins.error(path, f"there is no enabled service {other!r}")


def _check_networks(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    path = ("services", name)
    networks = service.get("networks") or {}
    if service.get("network_mode") and networks:
        raise origins.error(path, "'network_mode' and 'networks' exclude each other")
    for network in networks:
        if network not in (tree.get("networks") or {}):
            message = f"names the network {network!r}, which is not declared under 'networks:'"
            raise origins.error((*path, "networks"), message)


def _sources(key: str, service: dict[str, Any]) -> list[str]:
    if key == "volumes":
        return [
            mount["source"]
            for mount in service.get("volumes") or ()
            if mount["type"] == "volume" and mount.get("source")
        ]
    mounts = list(service.get(key) or ())
    if key == "secrets":
        mounts += (service.get("build") or {}).get("secrets") or ()
    return [mount.get("source") for mount in mounts]


def _check_healthcheck(path: tuple[str, str], service: dict[str, Any], origins: Origins) -> None:
    test = (service.get("healthcheck") or {}).get("test")
    if test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise origins.error(
            (*path, "healthcheck", "test"),
            f"must begin with NONE, CMD or CMD-SHELL, not {test[0]!r}",
            hint="write the command as one string, or put CMD before its words",
        )


def _check_limits(path: tuple[str, str], service: dict[str, Any], origins: Origins) -> None:
    for place, request in _requests(service):
        if request.get("count") and request.get("device_ids"):
            raise origins.error((*path, *place), "'count' and 'device_ids' exclude each other")
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    if scale is not None and replicas is not None and scale != replicas:
        raise origins.error(path, "'scale' and 'deploy.replicas' contradict each other")
    if service.get("container_name") and max(int(scale or 1), int(replicas or 1)) > 1:
        raise origins.error(path, "'container_name' allows no more than one container")


def _requests(service: dict[str, Any]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    reservations = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    place = ("deploy", "resources", "reservations", "devices")
    found = [(place, request) for request in reservations.get("devices") or ()]
    return found + [(("gpus",), request) for request in service.get("gpus") or ()]


def _check_file_object(section: str, name: str, resource: dict[str, Any], origins: Origins) -> None:
    sources = [key for key in ("file", "environment", "content") if resource.get(key)]
    path = (section, name)
    if len(sources) > 1:
        raise origins.error(path, f"{' and '.join(map(repr, sources))} exclude each other")
    if not sources and not resource.get("external") and not resource.get("driver"):
        choices = "file, environment" + (", content" if section == "configs" else "")
        raise origins.error(path, f"says no source; it needs one of {choices} or external: true")
