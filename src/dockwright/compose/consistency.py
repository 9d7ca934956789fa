"""Checks the references of a merged project: names that are not declared, and cycles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from dockwright.compose.contradictions import check_resources, check_service
from dockwright.compose.references import References
from dockwright.compose.source import DocPath, Origins, Tree

_RESOURCES = (("volumes", "volume"), ("secrets", "secret"), ("configs", "config"))


def check_consistency(tree: Tree, declared: Collection[str], origins: Origins) -> None:
    """Check the enabled services of a normalised project.

    Args:
        tree: the project, with its enabled services only.
        declared: the names of all its services.
        origins: where its values stand.

    Raises:
        ComposeError: a service without image and build, a name that is not declared, a cycle, or
            two settings that contradict each other.
    """
    services = tree["services"]
    check_resources(tree, origins)
    for name, service in services.items():
        check_service(("services", name), service, origins)
        _check_dependencies(name, service, tree, declared, origins)
        _check_networks(name, service, tree, origins)
        _check_sources(name, service, tree, origins)
        _check_contexts(name, service, services, origins)
    references = References(tree["name"], services)
    check_cycles(
        {
            name: {**(service.get("depends_on") or {}), **dict.fromkeys(references.needed_by(name))}
            for name, service in services.items()
        },
        origins,
    )


def check_cycles(
    dependencies: Mapping[str, Iterable[str]],
    origins: Origins,
    place: Callable[[str], DocPath] = lambda name: ("services", name),
) -> None:
    """Raise where services (or processes) wait for each other.

    Args:
        dependencies: what each waits for, by name.
        origins: where they stand.
        place: the path of each in the document.
    """
    done: set[str] = set()
    for start in dependencies:
        # A stack of our own, in depth first order: a chain may be longer than Python's.
        chain = {} if start in done else {start: iter(dependencies[start])}
        while chain:
            name = next(reversed(chain))
            other = next(chain[name], None)
            if other is None:
                done.add(name)
                del chain[name]
            elif other in chain:
                names = list(chain)
                cycle = " -> ".join([*names[names.index(other) :], other])
                path = (*place(other), "depends_on")
                raise origins.error(path, f"services wait for each other: {cycle}")
            elif other not in done:
                chain[other] = iter(dependencies.get(other, ()))


def _check_dependencies(
    name: str,
    service: dict[str, Any],
    tree: Tree,
    declared: Collection[str],
    origins: Origins,
) -> None:
    for other, dependency in (service.get("depends_on") or {}).items():
        required = dependency.get("required", True)
        if other not in (tree["services"] if required else declared):
            path = ("services", name, "depends_on", other)
            raise origins.error(path, f"there is no enabled service {other!r}")


def _check_networks(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    for network in service.get("networks") or ():
        if network not in (tree.get("networks") or {}):
            message = f"names the network {network!r}, which is not declared under 'networks:'"
            raise origins.error(("services", name, "networks"), message)


def _check_sources(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    for key, singular in _RESOURCES:
        declared = tree.get(key) or {}
        for source in _sources(key, service):
            if source not in declared:
                message = f"names the {singular} {source!r}, which is not declared under '{key}:'"
                raise origins.error(("services", name, key), message)


def _check_contexts(
    name: str, service: dict[str, Any], services: dict[str, Any], origins: Origins
) -> None:
    contexts = (service.get("build") or {}).get("additional_contexts") or {}
    for context, value in contexts.items():
        kind, _, other = (value or "").partition(":")
        if kind == "service" and (services.get(other) or {}).get("build") is None:
            path = ("services", name, "build", "additional_contexts", context)
            raise origins.error(path, f"there is no enabled service {other!r} with a build")


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
