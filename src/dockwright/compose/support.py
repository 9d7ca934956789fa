"""What Compose files may hold and dockwright does not use: named with its path, or refused."""

from __future__ import annotations

from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.compose.warnings import Warnings
from dockwright.errors import ComposeUnsupportedError

_IGNORED = {
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
    ("build", "privileged"): "is not passed on to the build",
    ("build", "secrets"): "is not passed on: build the image first, with pull_policy: never",
    ("build", "ulimits"): "is not passed on to the build",
    ("credential_spec",): "is not used: it applies to Windows containers",
    ("isolation",): "is not used: it applies to Windows containers",
    ("attach",): "is not used: logs are collected from every service",
}
_REFUSED = {
    ("post_start",): "hooks after the start of a container are not run by dockwright",
    ("pre_stop",): "hooks before the stop of a container are not run by dockwright",
}
_NOT_HERE = "take the service out of the tests with a profile, or run it by hand"


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
    for name, service in tree["services"].items():
        for keys, message in _IGNORED.items():
            if _present(service, keys):
                warnings.add(("services", name, *keys), message, origins)
        for path, count in _replicas(name, service):
            if count > 1:
                warnings.add(path, f"is {count}; dockwright runs one container a service", origins)
        for keys, message in _REFUSED.items():
            if _present(service, keys):
                path = ("services", name, *keys)
                if not runnable:
                    warnings.add(path, message, origins)
                    continue
                raise origins.error(path, message, hint=_NOT_HERE, kind=ComposeUnsupportedError)


def _present(service: Tree, keys: tuple[str, ...]) -> bool:
    value = service
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value not in (None, {}, [], "")


def _replicas(name: str, service: Tree) -> list[tuple[DocPath, int]]:
    deploy = service.get("deploy") or {}
    return [
        (("services", name, "deploy", "replicas"), int(deploy.get("replicas") or 1)),
        (("services", name, "scale"), int(service.get("scale") or 1)),
    ]
