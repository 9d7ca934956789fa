"""The planner against the exhaustive optimum, and against the lower bound."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockwright.schedule import (
    Block,
    Placed,
    Plan,
    Resources,
    StackModel,
    Test,
    blocks_of,
    bound_of,
    plan,
    simulated,
)
from tests._support.sample import FULL
from tests.schedule.exhaustive import optimum

_EXAMPLES = 1_000 if FULL else 60
_seconds = st.integers(1, 20).map(float)


@st.composite
def instances(draw: st.DrawFn) -> tuple[list[Block], Resources]:
    """Return a few tests with stacks, leases of modules and dependencies, and what they run on."""
    stacks = {
        name: StackModel(
            copies=draw(st.integers(1, 2)),
            boot_s=float(draw(st.integers(0, 10))),
            reset_s=float(draw(st.integers(0, 8))),
        )
        for name in draw(st.sampled_from([[], ["a"], ["a"], ["a", "b"]]))
    }
    tests: list[Test] = []
    for number in range(draw(st.integers(1, 6))):
        stack = draw(st.sampled_from(["", *stacks]))
        exclusive = bool(stack) and draw(st.booleans())
        lease = "module" if exclusive and stack == "a" and draw(st.integers(0, 3)) == 0 else ""
        after: tuple[str, ...] = ()
        if number and not lease and draw(st.integers(0, 5)) == 0:
            after = (f"t{draw(st.integers(0, number - 1))}",)
        if any(test.lease for test in tests if test.name in after):
            after = ()  # a chain that leases its own stack twice waits for itself
        tests.append(Test(f"t{number}", draw(_seconds), stack, exclusive, lease, (), "", after))
    return blocks_of(tests), Resources(draw(st.integers(1, 3)), stacks)


@given(instances())
@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(600)
def test_the_bound_is_at_most_the_optimum_and_the_optimum_at_most_the_plan(
    instance: tuple[list[Block], Resources],
) -> None:
    blocks, resources = instance
    found = plan(blocks, resources)
    _check(found, blocks, resources)
    best_s = optimum(blocks, resources, found.wall_s)
    assert bound_of(blocks, resources).seconds <= best_s + 1e-9
    assert best_s <= found.wall_s + 1e-9
    assert found.wall_s <= best_s * 4 / 3 + 1e-9


@given(instances(), st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_list_leads_to_a_plan_that_can_run(
    instance: tuple[list[Block], Resources], patient: bool
) -> None:
    blocks, resources = instance
    _check(simulated(blocks, resources, patient=patient), blocks, resources)


def _check(found: Plan, blocks: list[Block], resources: Resources) -> None:
    """Check that a plan runs everything once, and never two tests at once on one thing."""
    placed = [each for worker in found.workers for each in worker]
    assert sorted(each.test.name for each in placed) == sorted(
        test.name for block in blocks for test in block.tests
    )
    assert len(found.workers) == resources.workers
    assert found.wall_s == max(each.ended_s for each in placed)
    for worker in found.workers:
        for before, after in itertools.pairwise(worker):
            assert after.began_s >= before.ended_s
    for name, stack in resources.stacks.items():
        exclusive = [each for each in placed if each.test.stack == name and each.test.exclusive]
        shared = [each for each in placed if each.test.stack == name and not each.test.exclusive]
        for each in [*exclusive, *shared]:
            assert each.began_s >= stack.boot_s
            busy = _others_at(each.began_s, exclusive, each, stack.reset_s)
            assert len(busy) + 1 <= stack.copies, f"{each} runs beside {busy}"


def _others_at(at: float, tests: list[Placed], but: Placed, reset_s: float) -> set[str]:
    """Return the other exclusive leases that keep a copy busy at a moment."""
    return {
        each.test.lease or each.test.name  # tests that share a lease keep one copy busy
        for each in tests
        if each.began_s <= at < each.ended_s + reset_s
    } - {but.test.lease or but.test.name}


def test_tests_that_share_a_lease_keep_one_copy_busy() -> None:
    writers = [Test(f"writes{number}", 1.0, "db", lease="module") for number in range(2)]
    tests = [*writers, Test("pure", 2.0), Test("reads", 1.0, "db", exclusive=False)]
    resources = Resources(1, {"db": StackModel(copies=2, reset_s=4.0)})
    _check(simulated(blocks_of(tests), resources, patient=False), blocks_of(tests), resources)


def test_tests_without_a_stack_run_while_it_starts() -> None:
    stack = StackModel(boot_s=3.0)
    tests = [Test("reads", 1.0, "db", exclusive=False), Test("pure", 2.0), Test("slow", 1.0)]
    found = plan(blocks_of(tests), Resources(1, {"db": stack}))
    assert found.wall_s == 4.0
    assert found.order()[-1].name == "reads"


def test_resets_are_hidden_behind_tests_that_need_no_clean_copy() -> None:
    stack = StackModel(reset_s=2.0)
    writers = [Test(f"writes{number}", 1.0, "db") for number in range(3)]
    pure = [Test(f"pure{number}", 2.0) for number in range(2)]
    found = plan(blocks_of([*writers, *pure]), Resources(1, {"db": stack}))
    assert found.wall_s == 7.0


def test_the_longest_test_begins_first() -> None:
    tests = [Test(f"t{seconds}", float(seconds)) for seconds in (1, 2, 3, 3, 9)]
    found = plan(blocks_of(tests), Resources(2))
    assert found.wall_s == 9.0


def test_the_same_tests_always_have_the_same_plan() -> None:
    tests = [Test(f"t{number}", 1.0 + number % 7, "db", number % 2 > 0) for number in range(40)]
    resources = Resources(3, {"db": StackModel(2, 2.0, 1.0)})
    assert plan(blocks_of(tests), resources) == plan(blocks_of(tests), resources)


def test_a_kept_order_only_skips_tests_whose_stack_is_not_free() -> None:
    tests = [
        Test("first", 1.0),
        Test("writes", 1.0, "db"),
        Test("writes again", 1.0, "db"),
        Test("last", 5.0),
    ]
    resources = Resources(1, {"db": StackModel(reset_s=1.0)})
    found = plan(blocks_of(tests), resources, keep_order=True)
    names = [test.name for test in found.order()]
    assert names == ["first", "writes", "last", "writes again"]


def test_no_tests_have_an_empty_plan() -> None:
    assert plan([], Resources(2)).wall_s == 0.0
    assert bound_of([], Resources(2)).kind == "nothing"
