"""Completes a merged project: default network, names, implied dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockwright.compose.references import NAMESPACES
from dockwright.compose.short_forms import clean_target
from dockwright.compose.source import Tree

_NAMED = ("networks", "volumes", "secrets", "configs")


def give_contexts(tree: Tree) -> None:
    """Give builds of one project, or of an included one, its directory where they name none."""
    for service in (tree.get("services") or {}).values():
        if isinstance(service.get("build"), dict):
            service["build"].setdefault("context", ".")


def normalise(tree: Tree, name: str, variables: Mapping[str, str]) -> None:
    """Complete a merged project in long form, in place.

    Args:
        tree: the project.
        name: its name.
        variables: values for build arguments that have none.
    """
    tree["name"] = name
    services = tree["services"] = tree.get("services") or {}
    for service in services.values():
        _service(service, variables)
    _default_network(tree, services)
    for section in _NAMED:
        for key, resource in list((tree.get(section) or {}).items()):
            tree[section][key] = _named(resource or {}, key, name)


def _service(service: dict[str, Any], variables: Mapping[str, str]) -> None:
    if not service.get("networks") and "network_mode" not in service:
        service["networks"] = {"default": None}
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    if service.get("build") is not None:
        _build(service["build"], variables)
    for mount in service.get("volumes") or ():
        if mount.get("target"):
            mount["target"] = clean_target(mount["target"])
    for mount in service.get("secrets") or ():
        mount.setdefault("target", f"/run/secrets/{mount.get('source')}")
    for request in [*(service.get("gpus") or ()), *_reserved_devices(service)]:
        if "count" not in request and "device_ids" not in request:
            request["count"] = -1
    health = service.get("healthcheck") or {}
    if isinstance(health.get("test"), str):
        health["test"] = ["CMD-SHELL", health["test"]]
    if service.get("scale") is not None and service.get("deploy") is not None:
        service["deploy"].setdefault("replicas", service["scale"])
    _implied_dependencies(service)


def _reserved_devices(service: dict[str, Any]) -> list[dict[str, Any]]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    devices: list[dict[str, Any]] = (resources.get("reservations") or {}).get("devices") or []
    return devices


def _build(build: dict[str, Any], variables: Mapping[str, str]) -> None:
    if "dockerfile" not in build and "dockerfile_inline" not in build:
        build["dockerfile"] = "Dockerfile"
    args = build.get("args") or {}
    filled = {key: variables.get(key) if value is None else value for key, value in args.items()}
    build["args"] = {key: value for key, value in filled.items() if value is not None}
    ssh = build.get("ssh") or {}
    build["ssh"] = [key if value is None else f"{key}: {value}" for key, value in ssh.items()]


def _implied_dependencies(service: dict[str, Any]) -> None:
    implied: dict[str, bool] = {}
    for link in service.get("links") or ():
        implied.setdefault(link.partition(":")[0], True)
    for key in NAMESPACES:
        kind, colon, target = (service.get(key) or "").partition(":")
        if kind == "service" and colon:
            implied.setdefault(target, True)
    for source in service.get("volumes_from") or ():
        if not source.startswith("container:"):
            implied.setdefault(source.partition(":")[0], False)
    depends_on = dict(service.get("depends_on") or {})
    for name, restart in implied.items():
        entry = {"condition": "service_started", "required": True}
        depends_on.setdefault(name, entry | ({"restart": True} if restart else {}))
    if depends_on:
        service["depends_on"] = {
            name: {"required": True} | entry for name, entry in depends_on.items()
        }


def _default_network(tree: Tree, services: dict[str, Any]) -> None:
    networks = tree.get("networks") or {}
    if any("default" in (service.get("networks") or {}) for service in services.values()):
        networks.setdefault("default", None)
    tree["networks"] = networks


def _named(resource: dict[str, Any], key: str, project: str) -> dict[str, Any]:
    if resource.get("name"):
        return resource
    external = resource.get("external") is True
    return {"name": key if external else f"{project}_{key}"} | resource
