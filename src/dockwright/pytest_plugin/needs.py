"""What each test needs for the plan of a run: stack, fixtures that others share, dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import pytest

from dockwright.errors import MarkerError
from dockwright.pytest_plugin.markers import requirement_of, uses_stack
from dockwright.schedule import Costs, Test

_WIDE = ("class", "module", "package")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def tests_of(items: Sequence[pytest.Item], costs: Costs) -> list[Test]:
    """Return what is known about each test.

    Args:
        items: the tests, in their order.
        costs: what they are expected to take.
    """
    after = _dependencies(items)
    prefers = _preferences(items)
    return [
        _test(item, costs, prefers[number], after.get(item.nodeid, ()))
        for number, item in enumerate(items)
    ]


def _test(item: pytest.Item, costs: Costs, prefers: str, after: Sequence[str]) -> Test:
    stack, exclusive, lease = "", False, ""
    if uses_stack(item):
        try:
            requirement = requirement_of(item)
        except MarkerError:  # reported where the markers are checked
            pass
        else:
            stack, exclusive = requirement.stack, requirement.exclusive
            if requirement.scope == "module" and exclusive:
                lease = f"{requirement.holder} {stack}"
    groups = tuple(f"xdist_group {name}" for name in _xdist_groups(item))
    seconds = costs.seconds(item.nodeid)
    return Test(item.nodeid, seconds, stack, exclusive, lease, groups, prefers, tuple(after))


def to_plain(tests: Iterable[Test]) -> list[list[Any]]:
    """Return tests, without their costs, as JSON values."""
    return [
        [each.name, each.stack, each.exclusive, each.lease, each.together, each.prefers, each.after]
        for each in tests
    ]


def from_plain(values: Iterable[Sequence[Any]], costs: Costs) -> list[Test]:
    """Return the tests that `to_plain` described, with their costs."""
    return [
        Test(
            name, costs.seconds(name), stack, exclusive, lease, tuple(groups), prefers, tuple(after)
        )
        for name, stack, exclusive, lease, groups, prefers, after in values
    ]


def _xdist_groups(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("xdist_group"):
        yield str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))


# -- fixtures that several tests share ---------------------------------------------------------


def _preferences(items: Sequence[pytest.Item]) -> list[str]:
    """Return for each test which others share its fixtures; empty: none.

    Tests that share fixtures of several scopes are grouped by the widest one, so that leaving the
    group ends each fixture once.
    """
    scopes = [_shared_scope(item) for item in items]
    wide = {
        place
        for item, scope in zip(items, scopes, strict=True)
        for place in {"package": [_package(item)], "module": [_module(item)]}.get(scope, [])
    }
    return [_preference(item, scope, wide) for item, scope in zip(items, scopes, strict=True)]


def _preference(item: pytest.Item, scope: str, wide: Collection[str]) -> str:
    """Return the name of the group of tests that share fixtures with this one.

    Args:
        item: the test.
        scope: the widest scope of the fixtures that it shares.
        wide: the packages and modules with tests that share fixtures of these scopes.
    """
    if scope not in _WIDE:
        return scope
    if _package(item) in wide:
        return f"package {_package(item)}"
    parent = item.getparent(pytest.Class)
    if _module(item) in wide or parent is None:
        return f"module {_module(item)}"
    return f"class {parent.nodeid}"


def _shared_scope(item: pytest.Item) -> str:
    """Return the widest scope of the fixtures that the test shares within its package.

    A session-scoped fixture with parameters counts as wider: its name and parameter are returned,
    because pytest sets it up again whenever the parameter changes.
    """
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    indices = getattr(getattr(item, "callspec", None), "indices", {})
    found = ""
    for name, candidates in definitions.items():
        definition = candidates[-1]
        if definition.scope == "session" and definition.params and name in indices:
            return f"session {name}[{indices[name]}]"
        if definition.scope in _WIDE and not name.startswith("_dockwright"):
            found = max(found, definition.scope, key=("", *_WIDE).index)
    return found


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _package(item: pytest.Item) -> str:
    return f"{PurePosixPath(_module(item)).parent}/"


# -- dependencies --------------------------------------------------------------------------------


def _dependencies(items: Sequence[pytest.Item]) -> dict[str, list[str]]:
    """Return which tests each test has to follow, by the markers of two other plugins.

    pytest-dependency: ``dependency(name=..., depends=[...], scope="module")``.
    pytest-order: ``order(index)``, ``order(before=...)``, ``order(after=...)``.
    """
    after: dict[str, list[str]] = {}
    depending = [item for item in items if item.get_closest_marker("dependency")]
    for item, name in _pytest_dependency(depending):
        after.setdefault(item, []).append(name)
    ordered = [item for item in items if item.get_closest_marker("order")]
    for item, name in _pytest_order(ordered, items):
        after.setdefault(item, []).append(name)
    return after


def _pytest_dependency(items: Sequence[pytest.Item]) -> Iterator[tuple[str, str]]:
    """Yield pairs of node ids: a test, and one that it has to follow."""
    known: dict[tuple[str, str, str], str] = {}
    for item in items:
        given = _argument(item, "dependency", "name")
        for level, place in _places(item).items():
            default = item.nodeid.removeprefix(place)
            known[level, place, given if isinstance(given, str) else default] = item.nodeid
    for item in items:
        scope = str(_argument(item, "dependency", "scope") or "module")
        place = _places(item).get(scope, "")
        for name in _texts(_argument(item, "dependency", "depends")):
            found = known.get((scope, place, name))
            if found is not None:
                yield item.nodeid, found


def _places(item: pytest.Item) -> dict[str, str]:
    """Return the part of the node id that names of each scope leave out."""
    parent = item.getparent(pytest.Class)
    module = f"{_module(item)}::"
    return {
        "session": "",
        "package": "",
        "module": module,
        "class": f"{parent.nodeid}::" if parent is not None else module,
    }


def _pytest_order(
    ordered: Sequence[pytest.Item], items: Sequence[pytest.Item]
) -> Iterator[tuple[str, str]]:
    """Yield pairs of node ids: a test, and one that it has to follow."""
    ranked = sorted(
        ((rank, item.nodeid) for item in ordered if (rank := _rank(item)) is not None),
        key=lambda each: each[0],
    )
    for (_, earlier), (_, later) in pairwise(ranked):
        yield later, earlier
    names: dict[str, str] = {}
    for item in items if ordered else ():
        names.setdefault(item.nodeid, item.nodeid)
        names.setdefault(item.nodeid.rpartition("/")[2], item.nodeid)
    for item in ordered:
        for key in ("after", "before"):
            for name in _texts(_argument(item, "order", key)):
                other = names.get(f"{_module(item)}::{name}") or names.get(name)
                if other is not None:
                    yield (item.nodeid, other) if key == "after" else (other, item.nodeid)


def _rank(item: pytest.Item) -> tuple[bool, int] | None:
    """Return where `order` puts a test; tests that count from the end come behind the others."""
    mark = item.get_closest_marker("order")
    index = mark.args[0] if mark and mark.args else _argument(item, "order", "index")
    if isinstance(index, str):
        name = index.removesuffix("_to_last")
        if index == "last":
            index = -1
        elif name in _ORDINALS:
            number = _ORDINALS.index(name)
            index = number if name == index else -1 - number
    if isinstance(index, bool) or not isinstance(index, int):
        return None
    return index < 0, index


def _argument(item: pytest.Item, marker: str, name: str) -> object:
    mark = item.get_closest_marker(marker)
    return mark.kwargs.get(name) if mark else None


def _texts(value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        return []
    return [each for each in values if isinstance(each, str)]
