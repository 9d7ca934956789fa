"""Everything that is written as JSON can be read back, also with the oldest supported cattrs."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import UnionType

import pytest

from dockwright.compose import LoadOptions
from dockwright.model import Owner, Ownership
from dockwright.pool.journal import TrackedResource
from dockwright.pool.lease import LeaseInfo, SeedKey
from dockwright.pool.protocol import Grant
from dockwright.recording import BrokerReport, RunRecord, Summary

WRITTEN = (
    BrokerReport, Grant, LeaseInfo, LoadOptions, Owner, Ownership, RunRecord, SeedKey, Summary,
    TrackedResource,
)  # fmt: skip


def types_in(kind: object, seen: set[object]) -> Iterator[object]:
    """Yield a type and all types inside of it, through the fields of dataclasses."""
    if id(kind) in seen:
        return
    seen.add(id(kind))
    yield kind
    inner = list(typing.get_args(kind)) if typing.get_origin(kind) is not typing.Literal else []
    if is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind, vars(__import__(kind.__module__, fromlist=["_"])))
        inner += [hints[each.name] for each in fields(kind)]
    for each in inner:
        yield from types_in(each, seen)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_no_field_is_a_union_of_literals(kind: type) -> None:
    # cattrs before 23.2 reads Literal["a", "b"], and no Union[Literal["a"], Literal["b"]].
    wrong = [
        each
        for each in types_in(kind, set())
        if typing.get_origin(each) in (typing.Union, UnionType)
        and any(typing.get_origin(one) is typing.Literal for one in typing.get_args(each))
        and [one for one in typing.get_args(each) if one is not type(None)][1:]
    ]
    assert wrong == []
