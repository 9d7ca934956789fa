"""What holds a run back, and what would change it."""

from __future__ import annotations

import pytest

from dockwright.schedule import (
    Bound,
    Resources,
    StackModel,
    Test,
    blocks_of,
    bound_of,
    changes,
    held_back_by,
)


@pytest.mark.parametrize(
    ("tests", "resources", "words"),
    [
        ([Test("a", 1.0), Test("b", 1.0)], Resources(1), "the work of 2 tests for 1 worker"),
        ([Test("slow", 9.0), Test("b", 1.0)], Resources(2), "slow"),
        (
            [Test("a", 5.0, together=("x",)), Test("b", 5.0, together=("x",)), Test("c", 1.0)],
            Resources(2),
            "a and 1 more in one worker",
        ),
        (
            [Test(name, 3.0) for name in "abc"],
            Resources(2),
            "two long tests that share a worker",
        ),
        (
            [Test(name, 1.0, "db") for name in "abcd"],
            Resources(4, {"db": StackModel(2, 0.0, 1.0)}),
            "2 copies of stack db",
        ),
        (
            [Test(name, 1.0, "db", exclusive=False) for name in "abcd"],
            Resources(2, {"db": StackModel(1, 9.0)}),
            "the start of stack db",
        ),
    ],
)
def test_the_bound_explains_what_holds_a_run_back(
    tests: list[Test], resources: Resources, words: str
) -> None:
    assert held_back_by(bound_of(blocks_of(tests), resources), resources) == words


def test_nothing_holds_back_a_run_without_tests() -> None:
    assert held_back_by(Bound(0.0), Resources()) == "nothing"


def test_changes_are_listed_by_what_they_save() -> None:
    tests = [Test(f"t{number}", 1.0, "db") for number in range(6)]
    resources = Resources(2, {"db": StackModel(1, 1.0, 1.0)})
    found = {change.what: change for change in changes(blocks_of(tests), resources)}
    # one copy: 1 s until it has started, 6 leases of 1 s, 5 resets of 1 s
    assert found["1 more copy of stack db"].seconds > 3.0
    read = found["if 6 tests of stack db only read: mark stateless"]
    assert read.seconds == pytest.approx(12.0 - 4.0)
    assert read.tests == tuple(f"t{number}" for number in range(6))
    seconds = [change.seconds for change in changes(blocks_of(tests), resources)]
    assert seconds == sorted(seconds, reverse=True)
    assert "1 more worker" not in found


def test_changes_that_save_little_are_not_listed() -> None:
    assert changes(blocks_of([Test("a", 5.0), Test("b", 0.1)]), Resources(2)) == []
    assert changes([], Resources(2)) == []
