"""Merging: what holds for all documents, and the rules for some keys."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockwright.compose.fields import PROJECT
from dockwright.compose.merge import drop, merge
from dockwright.compose.shapes import Shape
from dockwright.compose.source import Origins
from dockwright.errors import ComposeError

KEYS = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=3))
MAPPINGS = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FLAT = st.dictionaries(KEYS, SCALARS, max_size=3)
HERE = Origins(Path("compose.yaml"))


def shape_at(path: tuple[str, ...]) -> Shape | None:
    shape: Shape | None = PROJECT
    for part in path:
        shape = shape and shape.child(part)
    return shape


def merged(base: Any, over: Any, *path: str) -> Any:
    return merge(base, over, shape_at(path), HERE, path)


@given(MAPPINGS)
def test_merging_nothing_changes_nothing(document: dict[str, Any]) -> None:
    assert merged(document, {}) == document
    assert merged({}, document) == document
    assert merged(document, None) == document


@given(MAPPINGS)
def test_merging_a_document_with_itself_changes_nothing(document: dict[str, Any]) -> None:
    assert merged(document, document) == document


@given(FLAT, FLAT, FLAT)
def test_merging_is_associative(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(FLAT, FLAT)
def test_the_later_document_wins(base: dict[str, Any], over: dict[str, Any]) -> None:
    assert merged(base, over) == {**base, **over}


@given(st.lists(SCALARS), st.lists(SCALARS))
def test_lists_are_appended(base: list[Any], over: list[Any]) -> None:
    assert merged(base, over, "services", "a", "cache") == [*base, *over]


@given(FLAT, FLAT)
def test_neither_document_is_changed(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))

    merged({"x": base, "l": [1]}, {"x": over, "l": [2]})

    assert (base, over) == before


@given(st.lists(st.integers(1, 5), unique=True), st.lists(st.integers(1, 5)))
def test_ports_keep_one_entry_a_key(base: list[int], over: list[int]) -> None:
    result = merged(
        [{"target": port} for port in base],
        [{"target": port, "mode": "host"} for port in over],
        "services",
        "a",
        "ports",
    )

    targets = [entry["target"] for entry in result]
    assert len(targets) == len(set(targets))
    assert {e["target"] for e in result if e.get("mode") == "host"} == set(over)


@pytest.mark.parametrize("key", ["command", "entrypoint"])
def test_commands_are_replaced_whole(key: str) -> None:
    assert merged(["a", "b"], ["c"], "services", "web", key) == ["c"]


def test_logging_is_merged_only_for_the_same_driver() -> None:
    path = ("services", "web", "logging")
    base = {"driver": "d", "options": {"a": 1}}

    assert merged(base, {"options": {"b": 2}}, *path)["options"] == {"a": 1, "b": 2}
    assert merged(base, {"driver": "e"}, *path) == {"driver": "e"}


def test_address_pools_are_merged_by_subnet() -> None:
    path = ("networks", "n", "ipam", "config")

    result = merged([{"subnet": "a"}], [{"subnet": "a", "gateway": "g"}, {"subnet": "b"}], *path)

    assert result == [{"subnet": "a", "gateway": "g"}, {"subnet": "b"}]


def test_a_mapping_cannot_become_something_else() -> None:
    with pytest.raises(ComposeError, match=r"services\.web: a mapping cannot be replaced"):
        merged({"a": 1}, "text", "services", "web")


def test_resets_remove_the_values_that_they_name() -> None:
    tree = {"services": {"web": {"ports": [1], "image": "x"}}}

    drop(tree, (("services", "web", "ports"), ("services", "other", "ports"), ("volumes",)))

    assert tree == {"services": {"web": {"image": "x"}}}
