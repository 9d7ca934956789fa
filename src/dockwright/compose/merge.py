"""Merge one document over another, both in long form: mappings by key, lists by entry."""

from __future__ import annotations

from dockwright.compose.shapes import Shape
from dockwright.compose.short_forms import Listed
from dockwright.compose.source import DocPath, Origins, Tree


def merge(
    base: Tree, over: Tree, shape: Shape | None, origins: Origins, path: DocPath = ()
) -> Tree:
    """Return `over` merged into `base`; neither is changed.

    Mappings are merged key by key, lists are appended (of entries with the same key, the last one
    is kept), anything else is replaced. ``x-`` extensions are replaced. Null changes nothing. A
    shape with a `merge` rule has its own way.

    Raises:
        ComposeError: one is a mapping or list and the other is not.
    """
    if shape and shape.merge is replace_whole:
        return over
    if over is None or base is None:
        return base if over is None else over
    if shape and shape.merge:
        return shape.merge(base, over, shape, origins, path)
    if isinstance(base, dict):
        if not isinstance(over, dict):
            raise origins.error(path, "a mapping cannot be replaced by something else")
        return _mappings(base, over, shape, origins, path)
    if isinstance(base, list):
        if not isinstance(over, list):
            raise origins.error(path, "a list cannot be replaced by something else")
        return _without_duplicates([*base, *over], shape)
    return over


def remove_duplicates(tree: Tree, shape: Shape | None) -> Tree:
    """Return `tree` without the entries that a later one with the same key replaces."""
    if shape and isinstance(tree, dict):
        return type(tree)((k, remove_duplicates(v, shape.child(k))) for k, v in tree.items())
    if shape and isinstance(tree, list):
        entries = [remove_duplicates(entry, shape.child(i)) for i, entry in enumerate(tree)]
        return _without_duplicates(entries, shape)
    return tree


def drop(tree: Tree, paths: tuple[DocPath, ...]) -> None:
    """Remove from `tree`, in place, the values that ``!reset`` and ``!override`` name.

    As in Compose, one variable or label cannot be removed once they have become a list.
    """
    for path in paths:
        place = tree
        for part in path[:-1]:
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, dict) and not isinstance(place, Listed) and path:
            place.pop(path[-1], None)


def _mappings(base: Tree, over: Tree, shape: Shape | None, origins: Origins, path: DocPath) -> Tree:
    result = dict(base)
    for key, value in over.items():
        if key not in base or key.startswith("x-"):
            result[key] = value
        else:
            child = shape.child(key) if shape else None
            result[key] = merge(base[key], value, child, origins, (*path, key))
    return result


def _without_duplicates(entries: list[Tree], shape: Shape | None) -> list[Tree]:
    """Return `entries` with a later one in the place of an earlier one that has its key."""
    if not (shape and shape.entry_key):
        return entries
    return list({shape.entry_key(entry): entry for entry in entries}.values())


# Rules for some keys (`Shape.merge`).


def replace_whole(
    _base: Tree, over: Tree, _shape: Shape, _origins: Origins, _path: DocPath
) -> Tree:
    """Replace a command, also by null."""
    return over


def merge_limit(base: Tree, over: Tree, shape: Shape, origins: Origins, path: DocPath) -> Tree:
    """Merge soft and hard limits; one number replaces both."""
    both = isinstance(base, dict) and isinstance(over, dict)
    return _mappings(base, over, shape, origins, path) if both else over


def merge_pairs(base: Tree, over: Tree, _shape: Shape, _origins: Origins, _path: DocPath) -> Tree:
    """Add variables or labels; one without a value removes the earlier value."""
    return Listed({**base, **over})


def merge_logging(base: Tree, over: Tree, shape: Shape, origins: Origins, path: DocPath) -> Tree:
    """Merge the options of one driver; another driver replaces everything."""
    drivers = {entry["driver"] for entry in (base, over) if "driver" in entry}
    return over if len(drivers) > 1 else _mappings(base, over, shape, origins, path)


def merge_hosts(base: Tree, over: Tree, _shape: Shape, _origins: Origins, _path: DocPath) -> Tree:
    """Add the addresses of each host."""
    result = Listed(base)
    for name, addresses in over.items():
        known = result.get(name, [])
        result[name] = [*known, *(a for a in addresses if a not in known)]
    return result


def merge_pools(base: Tree, over: Tree, shape: Shape, origins: Origins, path: DocPath) -> Tree:
    """Merge address pools with the same subnet; add the others."""
    result = list(base)
    for pool in over:
        same = [i for i, known in enumerate(base) if known.get("subnet") == pool.get("subnet")]
        for index in same:
            child = shape.child(index)
            result[index] = _mappings(result[index], pool, child, origins, (*path, index))
        result += [] if same else [pool]
    return result


# What identifies an entry of a list (`Shape.entry_key`).


def by_name(entry: Tree) -> object:
    """Identify ``NAME=VALUE`` by its name, and another text by itself."""
    return str(entry).partition("=")[0]


def by_path(entry: Tree) -> object:
    """Identify an env file by its path."""
    return entry.get("path")


def by_target(entry: Tree) -> object:
    """Identify a volume or device by its path in the container."""
    return entry.get("target")


def by_port(entry: Tree) -> object:
    """Identify a port by everything that can be bound only once."""
    return (
        entry.get("host_ip", "0.0.0.0"),  # noqa: S104 - what an absent address means, not a bind
        entry.get("published", ""),
        entry["target"],
        entry.get("protocol", "tcp"),
    )


def by_secret_target(entry: Tree) -> object:
    """Identify a secret by its path in the container."""
    return entry.get("target", f"/run/secrets/{entry.get('source')}")


def by_config_target(entry: Tree) -> object:
    """Identify a config by its path in the container."""
    return entry.get("target", f"/{entry.get('source')}")
