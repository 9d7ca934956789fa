"""Merges one document over another, both in long form: mappings by key, lists by entry."""

from __future__ import annotations

from collections.abc import Callable

from dockwright.compose.normalise import Listed
from dockwright.compose.source import DocPath, Origins, Patterns, Tree, is_extension

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


Merge = Callable[[Tree, Tree, DocPath, Origins], Tree]


def merge(base: Tree, over: Tree, origins: Origins, path: DocPath = ()) -> Tree:
    """Return `over` merged into `base`; neither is changed.

    Mappings are merged key by key, lists are appended (entries with the same key replace each
    other), anything else is replaced. Commands, and logging with another driver, are replaced
    whole. ``x-`` extensions are replaced. Null changes nothing, but for a variable or label.

    Raises:
        ComposeError: one is a mapping or list and the other is not.
    """
    special = _SPECIAL.find(path)
    if special is _replace:
        return over
    if over is None or base is None:
        return base if over is None else over
    if special:
        return special(base, over, path, origins)
    if isinstance(base, dict):
        if not isinstance(over, dict):
            raise origins.error(path, "cannot replace a mapping by something else")
        return _mappings(base, over, path, origins)
    if isinstance(base, list):
        if not isinstance(over, list):
            raise origins.error(path, "cannot replace a list by something else")
        return unique([*base, *over], path)
    return over


def drop(tree: Tree, paths: tuple[DocPath, ...]) -> None:
    """Remove from `tree`, in place, what ``!reset`` and ``!override`` name in it.

    As in Compose, one variable or label cannot be removed where they are a list by now.
    """
    for path in paths:
        place = tree
        for part in path[:-1]:
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, dict) and not isinstance(place, Listed) and path:
            place.pop(path[-1], None)


def _mappings(base: Tree, over: Tree, path: DocPath, origins: Origins) -> Tree:
    result = dict(base)
    for key, value in over.items():
        if key not in base or key.startswith("x-"):
            result[key] = value
        else:
            result[key] = merge(base[key], value, origins, (*path, key))
    return result


def _replace(_base: Tree, over: Tree, _path: DocPath, _origins: Origins) -> Tree:
    return over


def _limit(base: Tree, over: Tree, path: DocPath, origins: Origins) -> Tree:
    both = isinstance(base, dict) and isinstance(over, dict)
    return _mappings(base, over, path, origins) if both else over


def _pairs(base: Tree, over: Tree, _path: DocPath, _origins: Origins) -> Tree:
    """Add variables or labels; one without a value takes away the value that was there."""
    return Listed({**base, **over})


def _logging(base: Tree, over: Tree, path: DocPath, origins: Origins) -> Tree:
    drivers = {entry["driver"] for entry in (base, over) if "driver" in entry}
    return over if len(drivers) > 1 else _mappings(base, over, path, origins)


def _hosts(base: Tree, over: Tree, _path: DocPath, _origins: Origins) -> Tree:
    result = Listed(base)
    for name, addresses in over.items():
        known = result.get(name, [])
        result[name] = [*known, *(a for a in addresses if a not in known)]
    return result


def _ipam(base: Tree, over: Tree, path: DocPath, origins: Origins) -> Tree:
    """Merge address pools with the same subnet; add the others."""
    result = list(base)
    for pool in over:
        same = [i for i, known in enumerate(base) if known.get("subnet") == pool.get("subnet")]
        for index in same:
            result[index] = _mappings(result[index], pool, (*path, index), origins)
        result += [] if same else [pool]
    return result


_SPECIAL: Patterns[Merge] = Patterns(
    [
        ("networks.*.ipam.config", _ipam),
        ("networks.*.labels", _pairs),
        ("services.*.annotations", _pairs),
        ("services.*.build.additional_contexts", _pairs),
        ("services.*.build.args", _pairs),
        ("services.*.build.extra_hosts", _hosts),
        ("services.*.build.labels", _pairs),
        ("services.*.command", _replace),
        ("services.*.deploy.labels", _pairs),
        ("services.*.entrypoint", _replace),
        ("services.*.environment", _pairs),
        ("services.*.extra_hosts", _hosts),
        ("services.*.healthcheck.test", _replace),
        ("services.*.labels", _pairs),
        ("services.*.logging", _logging),
        ("services.*.sysctls", _pairs),
        ("services.*.ulimits.*", _limit),
        ("volumes.*.labels", _pairs),
    ]
)
