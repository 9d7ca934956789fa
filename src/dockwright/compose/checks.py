"""Checks of a whole project: references, cycles, contradictions, and unsupported keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from dockwright.compose.fields import NEWER_POLICY, SERVICE
from dockwright.compose.references import References
from dockwright.compose.shapes import Shape
from dockwright.compose.source import DocPath, Origins, Tree, Warnings
from dockwright.compose.units import parse_bytes
from dockwright.errors import ComposeError, ComposeUnsupportedError

_TESTS = ("NONE", "CMD", "CMD-SHELL")
_LIMITS = (
    ("cpus", ("limits", "cpus")),
    ("mem_limit", ("limits", "memory")),
    ("mem_reservation", ("reservations", "memory")),
    ("pids_limit", ("limits", "pids")),
)


def check_service(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    """Check the values of one normalised service against each other.

    Raises:
        ComposeError: neither image nor build, or two settings that exclude each other.
    """
    build = service.get("build")
    if not service.get("image") and build is None:
        hint = "add the image that the service runs"
        raise origins.error(path, "has neither 'image' nor 'build'", hint=hint)
    if service.get("network_mode") and service.get("networks"):
        raise origins.error(path, "'network_mode' and 'networks' exclude each other")
    _check_build(path, build or {}, service.get("platform"), origins)
    _check_healthcheck(path, service.get("healthcheck") or {}, origins)
    _check_mounts(path, service.get("volumes") or (), origins)
    _check_devices(path, service.get("devices") or (), origins)
    _check_device_requests(path, service, origins)
    _check_scale(path, service, origins)
    _check_limits(path, service, origins)
    _check_watch(path, service, origins)


def check_resources(tree: Tree, origins: Origins) -> None:
    """Check the declared volumes, secrets and configs.

    Raises:
        ComposeError: one has no source or several, or is external and has settings.
    """
    for name, volume in (tree.get("volumes") or {}).items():
        for key in ("driver", "driver_opts", "labels") if volume.get("external") else ():
            if key in volume:
                raise origins.error(("volumes", name), f"is external, so it cannot have {key!r}")
    for section, keys in (
        ("secrets", ("file", "environment")),
        ("configs", ("file", "environment", "content")),
    ):
        for name, resource in (tree.get(section) or {}).items():
            _check_source((section, name), resource, keys, origins)
    for name, secret in (tree.get("secrets") or {}).items():
        if not any(secret.get(key) for key in ("external", "file", "environment")):
            raise origins.error(("secrets", name), "needs 'file' or 'environment'")


def _check_source(
    path: DocPath, resource: dict[str, Any], keys: tuple[str, ...], origins: Origins
) -> None:
    given = [key for key in keys if key in resource]
    if len(given) > 1:
        raise origins.error(path, f"{' and '.join(map(repr, given))} exclude each other")
    if not given and "driver" not in resource and "external" not in resource:
        choices = ", ".join(repr(key) for key in keys)
        raise origins.error(path, f"has no source; give one of {choices} or 'external: true'")


def _check_build(path: DocPath, build: dict[str, Any], platform: Tree, origins: Origins) -> None:
    path = (*path, "build")
    if build.get("dockerfile") and build.get("dockerfile_inline"):
        raise origins.error(path, "'dockerfile' and 'dockerfile_inline' exclude each other")
    platforms = build.get("platforms") or []
    if platform and platforms and platform not in platforms:
        raise origins.error(
            (*path, "platforms"), f"must include the service's platform {platform!r}"
        )


def _check_healthcheck(path: DocPath, healthcheck: dict[str, Any], origins: Origins) -> None:
    test = healthcheck.get("test")
    if test and test[0] not in _TESTS:
        raise origins.error(
            (*path, "healthcheck", "test"),
            f"must begin with {', '.join(_TESTS)}, not {test[0]!r}",
            hint="write the command as one string, or put CMD before its words",
        )


def _check_mounts(path: DocPath, mounts: Tree, origins: Origins) -> None:
    for index, mount in enumerate(mounts):
        place = (*path, "volumes", index)
        if not mount.get("target"):
            raise origins.error(place, "has no target, the path in the container")
        if mount["type"] == "bind" and not mount.get("source"):
            raise origins.error(place, "is a bind mount without a source")


def _check_devices(path: DocPath, devices: Tree, origins: Origins) -> None:
    for index, device in enumerate(devices):
        if "target" not in device:
            place = (*path, "devices", index)
            raise origins.error(place, "has no target, the path in the container")


def _check_device_requests(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    reserved = (_section(service, "reservations") or {}).get("devices") or ()
    _check_requests((*path, "deploy", "resources", "reservations", "devices"), reserved, origins)
    _check_requests((*path, "gpus"), service.get("gpus") or (), origins)


def _check_requests(path: DocPath, requests: Tree, origins: Origins) -> None:
    for index, request in enumerate(requests):
        if "count" in request and "device_ids" in request:
            raise origins.error((*path, index), "'count' and 'device_ids' exclude each other")


def _check_scale(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    if None not in (scale, replicas) and scale != replicas:
        raise origins.error(path, "'scale' and 'deploy.replicas' contradict each other")
    if service.get("container_name") and max(scale or 0, replicas or 0) > 1:
        raise origins.error(path, "'container_name' allows no more than one container")


def _check_limits(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    """Refuse an old-style limit that differs from the one under ``deploy``, as Compose does."""
    for key, (section, name) in _LIMITS:
        amount, deployed = _amount(service.get(key)), _section(service, section)
        if amount and deployed is not None and amount != _amount(deployed.get(name)):
            message = f"{key!r} and 'deploy.resources.{section}.{name}' contradict each other"
            raise origins.error(path, message)


def _section(service: dict[str, Any], name: str) -> dict[str, Any] | None:
    resources = (service.get("deploy") or {}).get("resources") or {}
    section: dict[str, Any] | None = resources.get(name)
    return section


def _amount(value: Tree) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        pass  # a size with a unit
    try:
        return float(parse_bytes(value))
    except ValueError:  # writing the canonical form reports it
        return None


def _check_watch(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
        place = (*path, "develop", "watch", index)
        if not rule["path"]:
            raise origins.error(place, "has an empty path")
        if "sync" in rule["action"] and not rule.get("target"):
            raise origins.error(place, f"needs a target for the action {rule['action']!r}")


_RESOURCES = (("volumes", "volume"), ("secrets", "secret"), ("configs", "config"))


def check_project(
    tree: Tree,
    declared: Collection[str],
    origins: Origins,
    warnings: Warnings,
    *,
    runnable: bool,
) -> None:
    """Check the enabled services of a normalised project.

    Args:
        tree: the project, with its enabled services only.
        declared: the names of all its services.
        origins: where its values stand.
        warnings: where warnings go.
        runnable: whether to refuse what dockwright cannot run; otherwise that is a warning.

    Raises:
        ComposeError: the project contradicts itself.
        ComposeUnsupportedError: dockwright cannot run it.
    """
    _check_newer(tree, origins)
    _check_consistency(tree, declared, origins)
    _check_support(tree, origins, warnings, runnable=runnable)


def _check_consistency(tree: Tree, declared: Collection[str], origins: Origins) -> None:
    """Check that names are declared, and that settings do not contradict each other."""
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
    """Raise an error if services (or processes) depend on each other in a circle.

    Args:
        dependencies: the dependencies by name.
        origins: where they stand.
        place: returns the path of a service or process in the document.
    """
    done: set[str] = set()
    for start in dependencies:
        # Depth first without recursion: a chain may be longer than Python's stack.
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
                raise origins.error(path, f"circular dependency: {cycle}")
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
            raise origins.error(path, f"no enabled service {other!r}")


def _check_networks(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    for network in service.get("networks") or ():
        if network not in (tree.get("networks") or {}):
            message = f"uses the network {network!r}, which is not declared under 'networks:'"
            raise origins.error(("services", name, "networks"), message)


def _check_sources(name: str, service: dict[str, Any], tree: Tree, origins: Origins) -> None:
    for key, singular in _RESOURCES:
        declared = tree.get(key) or {}
        for source in _sources(key, service):
            if source not in declared:
                message = f"uses the {singular} {source!r}, which is not declared under '{key}:'"
                raise origins.error(("services", name, key), message)


def _check_contexts(
    name: str, service: dict[str, Any], services: dict[str, Any], origins: Origins
) -> None:
    contexts = (service.get("build") or {}).get("additional_contexts") or {}
    for context, value in contexts.items():
        kind, _, other = (value or "").partition(":")
        if kind == "service" and (services.get(other) or {}).get("build") is None:
            path = ("services", name, "build", "additional_contexts", context)
            raise origins.error(path, f"no enabled service {other!r} with a build")


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


_MOUNT_TYPES = {
    "cluster": "cluster volumes need a swarm, which dockwright does not support",
    "npipe": "named pipes are for Windows containers",
}
_NOT_HERE = "put the service into a profile that the tests do not enable"


def _check_newer(tree: Tree, origins: Origins) -> None:
    """Refuse keys of later versions of Compose whose absence a test would notice."""
    for path, message in _uses(tree, "newer"):
        raise _unsupported(origins, path, f"is not supported: {message}")
    for path, mount in _mounts(tree):
        if mount.get("type") == "image":
            raise _unsupported(origins, path, "is not supported: images are not mounted as volumes")


def _check_support(tree: Tree, origins: Origins, warnings: Warnings, *, runnable: bool) -> None:
    """Warn about ignored keys; refuse keys whose absence would change how a stack behaves."""
    for path, message in _uses(tree, "ignored"):
        warnings.add(path, message, origins)
    for name, service in tree["services"].items():
        for path, count in _replicas(name, service):
            if count > 1:
                warnings.add(
                    path, f"is {count}; dockwright runs one container per service", origins
                )
        policy = service.get("pull_policy") or ""
        if re.fullmatch(NEWER_POLICY, policy):
            message = f"{policy!r} is not supported: the image is pulled only if it is missing"
            warnings.add(("services", name, "pull_policy"), message, origins)
    for path, message in (*_uses(tree, "refused"), *_refused_mounts(tree)):
        if runnable:
            raise _unsupported(origins, path, message)
        warnings.add(path, message, origins)


def _refused_mounts(tree: Tree) -> Iterator[tuple[DocPath, str]]:
    for path, mount in _mounts(tree):
        if mount.get("type") in _MOUNT_TYPES:
            yield path, _MOUNT_TYPES[mount["type"]]


def _unsupported(origins: Origins, path: DocPath, message: str) -> ComposeError:
    return origins.error(path, message, hint=_NOT_HERE, kind=ComposeUnsupportedError)


def _uses(tree: Tree, level: str) -> Iterator[tuple[DocPath, str]]:
    """Yield where services use keys of this level of support, and the message about each."""
    for name, service in tree["services"].items():
        yield from _uses_below(service, SERVICE, ("services", name), level)


def _uses_below(
    value: Tree, shape: Shape | None, path: DocPath, level: str
) -> Iterator[tuple[DocPath, str]]:
    if shape is None or value in (None, False, {}, [], ""):
        return
    if shape.support and shape.support.level == level:
        yield path, shape.support.message
    if isinstance(value, (dict, list)):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _uses_below(entry, shape.child(key), (*path, key), level)


def _mounts(tree: Tree) -> Iterator[tuple[DocPath, Tree]]:
    for name, service in tree["services"].items():
        for index, mount in enumerate(service.get("volumes") or ()):
            yield ("services", name, "volumes", index), mount


def _replicas(name: str, service: Tree) -> list[tuple[DocPath, int]]:
    deploy = service.get("deploy") or {}
    return [
        (("services", name, "deploy", "replicas"), int(deploy.get("replicas") or 1)),
        (("services", name, "scale"), int(service.get("scale") or 1)),
    ]
