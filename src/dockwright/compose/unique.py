"""Keeps one entry a key in lists whose entries have one: ports by target, mounts by path."""

from __future__ import annotations

from collections.abc import Callable

from dockwright.compose.patterns import Patterns
from dockwright.compose.source import DocPath, Tree, is_extension

Key = Callable[[Tree], object]


def unique(entries: list[Tree], path: DocPath) -> list[Tree]:
    """Return `entries` with a later one in the place of an earlier one that has its key."""
    key = _KEYS.find(path)
    if not key:
        return entries
    result: dict[object, Tree] = {}
    for entry in entries:
        result[key(entry)] = entry
    return list(result.values())


def uniquify(tree: Tree, path: DocPath = ()) -> Tree:
    """Return `tree` with every such list reduced."""
    if isinstance(tree, dict):
        return type(tree)(
            (k, v if is_extension(path, k) else uniquify(v, (*path, k))) for k, v in tree.items()
        )
    if isinstance(tree, list):
        return unique([uniquify(entry, (*path, i)) for i, entry in enumerate(tree)], path)
    return tree


def _port(entry: Tree) -> object:
    return (
        entry.get("host_ip", "0.0.0.0"),  # noqa: S104 - what an absent address means, not a bind
        entry.get("published", ""),
        entry["target"],
        entry.get("protocol", "tcp"),
    )


def _target(entry: Tree) -> object:
    return entry.get("target")


def _secret(entry: Tree) -> object:
    return entry.get("target", f"/run/secrets/{entry.get('source')}")


def _config(entry: Tree) -> object:
    return entry.get("target", f"/{entry.get('source')}")


def _path(entry: Tree) -> object:
    return entry.get("path")


def _pair(entry: Tree) -> object:
    return str(entry).partition("=")[0]


_KEYS: Patterns[Key] = Patterns(
    [
        ("services.*.build.tags", _pair),
        ("services.*.cap_add", _pair),
        ("services.*.cap_drop", _pair),
        ("services.*.configs", _config),
        ("services.*.devices", _target),
        ("services.*.dns", _pair),
        ("services.*.dns_opt", _pair),
        ("services.*.dns_search", _pair),
        ("services.*.env_file", _path),
        ("services.*.expose", str),
        ("services.*.label_file", _pair),
        ("services.*.links", _pair),
        ("services.*.networks.*.aliases", _pair),
        ("services.*.networks.*.link_local_ips", _pair),
        ("services.*.ports", _port),
        ("services.*.profiles", _pair),
        ("services.*.secrets", _secret),
        ("services.*.tmpfs", _pair),
        ("services.*.volumes", _target),
    ]
)
