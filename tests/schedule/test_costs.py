"""Costs: what is expected of tests that are known and of those that are not, and costs files."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.errors import UsageError
from dockwright.schedule import Costs, StackCost, read_costs


def test_a_new_test_is_expected_to_cost_the_median_of_its_file() -> None:
    costs = Costs({"a.py::x": 1.0, "a.py::y": 3.0, "b.py::z": 9.0})
    assert costs.seconds("a.py::x") == 1.0
    assert costs.seconds("a.py::new") == 2.0
    assert costs.seconds("new.py::new") == 3.0


def test_without_history_all_tests_cost_the_same() -> None:
    assert Costs().seconds("a.py::x") == Costs().seconds("b.py::y") > 0


def test_costs_are_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    costs = Costs({"a.py::x": 1.5}, {"shop": StackCost(4.0, 0.1, 1 << 30, 3)}, 0.5, 1.0, 2.0)
    file = tmp_path / "costs.json"
    file.write_text(costs.to_text())
    found = read_costs(file)
    assert found.costs == costs
    assert len(found.digest) == 12


def test_the_order_of_tests_does_not_change_the_file() -> None:
    assert Costs({"b": 1.0, "a": 2.0}).to_text() == Costs({"a": 2.0, "b": 1.0}).to_text()


def test_durations_of_pytest_split_are_costs(tmp_path: Path) -> None:
    file = tmp_path / ".test_durations"
    file.write_text('{"a.py::x": 1.5, "a.py::y": 2}')
    assert read_costs(file).costs.tests == {"a.py::x": 1.5, "a.py::y": 2.0}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "it is not a JSON object"),
        ("nonsense", "Expecting value"),
        ('{"a.py::x": "long"}', "the cost of a.py::x is not a number of 0 or more: 'long'"),
        ('{"a.py::x": -1}', "the cost of a.py::x is not a number of 0 or more: -1"),
        ('{"a.py::x": NaN}', "the cost of a.py::x is not a number of 0 or more: nan"),
        ('{"version": 2}', "its version is 2, expected 1"),
        ('{"version": 1, "stacks": []}', "'stacks' is not a JSON object"),
        ('{"version": 1, "stacks": {"db": 1}}', "stack 'db' is not a JSON object"),
        ('{"version": 1, "closing_s": null}', "'closing_s' is not a number of 0 or more: None"),
    ],
)
def test_a_file_without_costs_is_a_usage_error(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "costs.json"
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        read_costs(file)
    assert str(raised.value).startswith(f"cannot read the costs in {file}: {reason}")
    assert "dockwright runs export --costs FILE" in str(raised.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        read_costs(tmp_path / "costs.json")
