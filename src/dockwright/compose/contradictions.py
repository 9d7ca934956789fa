"""Checks one service or resource of a merged project for settings that contradict each other."""

from __future__ import annotations

from typing import Any

from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.compose.units import parse_bytes

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
        hint = "say which image the service runs"
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
        ComposeError: one has no source, more than one, or settings although it is external.
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
        raise origins.error((*path, "platforms"), f"must hold the service's platform {platform!r}")


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
    except ValueError:  # told with its own message when the canonical form is written
        return None


def _check_watch(path: DocPath, service: dict[str, Any], origins: Origins) -> None:
    for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
        place = (*path, "develop", "watch", index)
        if not rule["path"]:
            raise origins.error(place, "has an empty path")
        if "sync" in rule["action"] and not rule.get("target"):
            raise origins.error(place, f"needs a target for the action {rule['action']!r}")
