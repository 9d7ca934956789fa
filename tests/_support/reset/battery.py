"""Batteries: tables of state changes; ``make test`` tries a sample, ``make soak`` every row.

A module of tests declares its rows as a list of `Change` and parametrizes with `rows` and
`combinations`. The sample is drawn by a seed that the header of each run prints. Files are named
``test_*_battery.py``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from tests._support.sample import FULL, drawn

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Commands = TypeVar("Commands")


@dataclass(frozen=True, slots=True)
class Change(Generic[Commands]):
    """One kind of state change: a row of a battery.

    Attributes:
        name: what is changed; the test's id.
        commands: what changes it, in whatever form the battery's own tests run.
        always: whether every sample contains it.
        breaks: whether the reset refuses, so that the stack is replaced.
        alone: whether it stays out of combinations, e.g. because it restarts the server.
    """

    name: str
    commands: Commands
    always: bool = False
    breaks: bool = False
    alone: bool = False


def rows(
    changes: Sequence[Change[Commands]], *, sample: int, always: bool = True
) -> list[ParameterSet]:
    """Return parameters of one change each: all that are `always` tried, and some of the others.

    Args:
        changes: the whole table.
        sample: how many of the others ``make test`` tries; ``make soak`` tries them all.
        always: whether those that are `always` tried are tried here too.
    """
    others = [change for change in changes if not (always and change.always)]
    chosen = others if FULL else _random(changes).sample(others, min(sample, len(others)))
    return [
        pytest.param(change, id=change.name)
        for change in changes
        if (always and change.always) or change in chosen
    ]


def combinations(
    changes: Sequence[Change[Commands]], *, sample: int, full: int, size: int = 4
) -> list[ParameterSet]:
    """Return parameters of `size` changes each, at random, in a random order.

    Args:
        changes: the whole table; those that break the stack or stand alone are left out.
        sample: how many combinations ``make test`` tries.
        full: how many ``make soak`` tries.
        size: how many changes are in each.
    """
    able = [change for change in changes if not (change.breaks or change.alone)]
    dice = _random(changes)
    drawn = [dice.sample(able, size) for _ in range(full if FULL else sample)]
    return [pytest.param(each, id=" + ".join(change.name for change in each)) for each in drawn]


def _random(changes: Sequence[Change[Commands]]) -> random.Random:
    """Return dice that throw the same for the same table and seed."""
    return drawn(" ".join(change.name for change in changes))
