"""Which tests stay together, and in which order they run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockwright.errors import UsageError
from dockwright.schedule import Block, Test, blocks_of


def _names(blocks: Sequence[Block]) -> list[list[str]]:
    return [[test.name for test in block.tests] for block in blocks]


def test_a_test_that_needs_nothing_is_a_block() -> None:
    assert _names(blocks_of([Test("a", 1.0), Test("b", 1.0)])) == [["a"], ["b"]]


def test_a_group_a_lease_and_a_chain_stay_together() -> None:
    tests = [
        Test("a", 1.0, together=("group",)),
        Test("b", 1.0, "db", lease="module"),
        Test("c", 1.0, together=("group",)),
        Test("d", 1.0, "db", lease="module"),
        Test("e", 1.0, after=("f",)),
        Test("f", 1.0),
    ]
    assert _names(blocks_of(tests, workers=4)) == [["a", "c"], ["b", "d"], ["f", "e"]]


def test_blocks_that_share_a_test_are_one_block() -> None:
    tests = [
        Test("a", 1.0, together=("one",)),
        Test("b", 1.0, together=("two",)),
        Test("c", 1.0, together=("one", "two")),
    ]
    assert _names(blocks_of(tests)) == [["a", "b", "c"]]


def test_unknown_dependencies_are_ignored() -> None:
    assert _names(blocks_of([Test("a", 1.0, after=("deselected",))])) == [["a"]]


def test_circular_dependencies_are_a_usage_error_that_names_them() -> None:
    tests = [
        Test("outside", 1.0, after=("a",)),
        Test("a", 1.0, after=("b",)),
        Test("b", 1.0, after=("c",)),
        Test("c", 1.0, after=("a",)),
    ]
    with pytest.raises(UsageError) as raised:
        blocks_of(tests)
    assert "tests depend on each other in a circle: a -> b -> c -> a" in str(raised.value)


def test_a_test_that_depends_on_itself_is_a_circle() -> None:
    with pytest.raises(UsageError, match="a -> a"):
        blocks_of([Test("a", 1.0, after=("a",))])


def test_a_chain_may_be_longer_than_the_stack_of_calls() -> None:
    tests = [Test(f"t{number}", 1.0, after=(f"t{number + 1}",)) for number in range(5_000)]
    [block] = blocks_of(tests)
    assert block.tests[0].name == "t4999"


def test_tests_that_prefer_one_worker_are_divided_only_if_they_take_too_long() -> None:
    small = [Test(f"s{number}", 1.0, prefers="small") for number in range(3)]
    large = [Test(f"l{number}", 1.0, prefers="large") for number in range(21)]
    assert _names(blocks_of([*small, *large])) == [
        [test.name for test in small],
        [test.name for test in large],
    ]
    sizes = [len(block.tests) for block in blocks_of([*small, *large], workers=4)]
    assert sizes == [3, 3, 3, 3, 3, 3, 3, 3]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.booleans()), max_size=30))
def test_every_test_is_in_one_block_behind_what_it_depends_on(
    wishes: list[tuple[int, int, bool]],
) -> None:
    tests = [
        Test(
            f"t{number}",
            1.0,
            together=(f"g{group}",) if group else (),
            after=(f"t{earlier}",) if earlier < number and depends else (),
        )
        for number, (group, earlier, depends) in enumerate(wishes)
    ]
    blocks = blocks_of(tests, workers=3)
    names = [test.name for block in blocks for test in block.tests]
    assert sorted(names) == sorted(test.name for test in tests)
    for test in tests:
        for earlier_name in test.after:
            assert names.index(earlier_name) < names.index(test.name)
