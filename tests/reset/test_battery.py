"""A battery's sample can be repeated, and always holds the rows that it has to."""

from __future__ import annotations

import pytest

from tests._support import sample
from tests._support.reset import battery
from tests._support.reset.battery import Change, combinations, rows

TABLE = [Change(f"row {n}", n, always=n == 7, breaks=n == 8, alone=n == 9) for n in range(40)]


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(battery, "FULL", False)
    monkeypatch.setattr(sample, "SEED", 1)
    first = rows(TABLE, sample=5)
    assert first == rows(TABLE, sample=5)
    assert len(first) == 6
    assert "row 7" in [each.id for each in first]
    monkeypatch.setattr(sample, "SEED", 2)
    assert first != rows(TABLE, sample=5)


def test_a_soak_has_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(battery, "FULL", True)
    assert [each.id for each in rows(TABLE, sample=5)] == [change.name for change in TABLE]
    assert len(combinations(TABLE, sample=2, full=30)) == 30


def test_combinations_leave_out_what_must_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(battery, "FULL", True)
    names = [str(each.id).split(" + ") for each in combinations(TABLE, sample=2, full=50, size=3)]
    assert all(len(set(each)) == 3 for each in names)
    assert {name for each in names for name in each}.isdisjoint({"row 8", "row 9"})
