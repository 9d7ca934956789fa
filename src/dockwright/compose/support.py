"""What Compose files may hold and dockwright does not use: named with its path, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dockwright.compose.schema_values import NEWER_POLICY
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.compose.warnings import Warnings
from dockwright.errors import ComposeError, ComposeUnsupportedError

_IGNORED: dict[tuple[str, ...], str] = {
    ("develop",): "is not used: nothing is watched or rebuilt during tests",
    ("deploy", "endpoint_mode"): "is not used outside a swarm",
    ("deploy", "labels"): "is not used: these labels belong to a swarm's service",
    ("deploy", "mode"): "is not used outside a swarm",
    ("deploy", "placement"): "is not used outside a swarm",
    ("deploy", "rollback_config"): "is not used outside a swarm",
    ("deploy", "update_config"): "is not used outside a swarm",
    ("deploy", "resources", "reservations", "generic_resources"): "is not used outside a swarm",
    ("build", "entitlements"): "is not passed on to the build",
    ("build", "isolation"): "is not used: it applies to Windows containers",
    ("build", "no_cache_filter"): "is not supported: it is not passed on to the build",
    ("build", "privileged"): "is not passed on to the build",
    ("build", "provenance"): "is not supported: attestations of a build are not made",
    ("build", "sbom"): "is not supported: attestations of a build are not made",
    ("build", "secrets"): "is not passed on: build the image first, with pull_policy: never",
    ("build", "ulimits"): "is not passed on to the build",
    ("credential_spec",): "is not used: it applies to Windows containers",
    ("isolation",): "is not used: it applies to Windows containers",
    ("networks", "*", "gw_priority"): "is not used: the first network has the default gateway",
    ("pull_refresh_after",): "is not supported: images are pulled where they are missing",
    ("volumes", "*", "volume", "labels"): "is not supported: the volume gets no labels of its own",
}
_REFUSED: dict[tuple[str, ...], str] = {
    ("pre_start",): "hooks before the start of a container are not run by dockwright",
    ("post_start",): "hooks after the start of a container are not run by dockwright",
    ("pre_stop",): "hooks before the stop of a container are not run by dockwright",
}
_NEWER: dict[tuple[str, ...], str] = {
    ("models",): "models are run by Docker Desktop's model runner, which tests cannot count on",
    ("provider",): "services that something else than the engine provides are not run",
    ("use_api_socket",): "the engine's socket is not shared with containers behind the file's back",
    ("networks", "*", "interface_name"): "names of interfaces cannot be chosen",
    ("volumes", "*", "image"): "images are not mounted as volumes",
}
_MOUNT_TYPES = {
    "cluster": "cluster volumes need a swarm, which dockwright does not use",
    "npipe": "named pipes are for Windows containers",
}
_NOT_HERE = "take the service out of the tests with a profile, or run it by hand"


def check_newer(tree: Tree, origins: Origins) -> None:
    """Refuse what only later versions of Compose know and a test would miss.

    Raises:
        ComposeUnsupportedError: an enabled service uses such a key.
    """
    for path, message in _uses(tree, _NEWER):
        raise _unsupported(origins, path, f"is not supported: {message}")
    for path, mount in _found(tree["services"], ("*", "volumes", "*"), ("services",)):
        if mount.get("type") == "image":
            raise _unsupported(origins, path, "is not supported: images are not mounted as volumes")


def check_support(tree: Tree, origins: Origins, warnings: Warnings, *, runnable: bool) -> None:
    """Warn about what is ignored; refuse what would change how a stack behaves.

    Args:
        tree: a normalised project with its enabled services.
        origins: where its values stand.
        warnings: where warnings go.
        runnable: whether to refuse.

    Raises:
        ComposeUnsupportedError: something whose absence a test would notice.
    """
    for path, message in _uses(tree, _IGNORED):
        warnings.add(path, message, origins)
    for name, service in tree["services"].items():
        for path, count in _replicas(name, service):
            if count > 1:
                warnings.add(path, f"is {count}; dockwright runs one container a service", origins)
        policy = service.get("pull_policy") or ""
        if re.fullmatch(NEWER_POLICY, policy):
            message = f"{policy!r} is not supported: the image is pulled where it is missing"
            warnings.add(("services", name, "pull_policy"), message, origins)
    for path, message in (*_uses(tree, _REFUSED), *_refused_mounts(tree)):
        if runnable:
            raise _unsupported(origins, path, message)
        warnings.add(path, message, origins)


def _refused_mounts(tree: Tree) -> Iterator[tuple[DocPath, str]]:
    for path, mount in _found(tree["services"], ("*", "volumes", "*"), ("services",)):
        if mount.get("type") in _MOUNT_TYPES:
            yield path, _MOUNT_TYPES[mount["type"]]


def _unsupported(origins: Origins, path: DocPath, message: str) -> ComposeError:
    return origins.error(path, message, hint=_NOT_HERE, kind=ComposeUnsupportedError)


def _uses(tree: Tree, table: dict[tuple[str, ...], str]) -> Iterator[tuple[DocPath, str]]:
    """Yield where services use keys of a table, and what it says of them."""
    for name, service in tree["services"].items():
        for keys, message in table.items():
            for path, value in _found(service, keys, ("services", name)):
                if value not in (None, False, {}, [], ""):
                    yield path, message


def _found(value: Tree, keys: tuple[str, ...], path: DocPath) -> Iterator[tuple[DocPath, Tree]]:
    """Yield what stands at `keys` below a value; ``*`` stands for every key or entry."""
    if not keys:
        yield path, value
    elif isinstance(value, (dict, list)):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            if keys[0] in ("*", key):
                yield from _found(entry, keys[1:], (*path, key))


def _replicas(name: str, service: Tree) -> list[tuple[DocPath, int]]:
    deploy = service.get("deploy") or {}
    return [
        (("services", name, "deploy", "replicas"), int(deploy.get("replicas") or 1)),
        (("services", name, "scale"), int(service.get("scale") or 1)),
    ]
