"""Shards: complete, without overlap, balanced, and the same everywhere."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockwright.schedule import Costs, StackCost, Test, resources_of, shards_of

_COSTS = Costs(stacks={"db": StackCost(boot_s=5.0, memory_bytes=100)})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.floats(0.001, 9.0), st.sampled_from(["", "db"])), max_size=40),
    st.integers(1, 6),
    st.booleans(),
)
def test_every_test_is_in_exactly_one_shard(
    wishes: list[tuple[float, str]], count: int, costs: bool
) -> None:
    tests = [Test(f"t{number}", *wish) for number, wish in enumerate(wishes)]
    shards = shards_of(tests, count, _COSTS if costs else None)
    assert len(shards) == count
    assert sorted(test.name for shard in shards for test in shard) == sorted(
        test.name for test in tests
    )


def test_shards_do_not_depend_on_the_order_of_the_tests() -> None:
    tests = [
        Test(f"t{number}", 0.1 + number % 5, "db" if number % 3 else "") for number in range(50)
    ]
    shuffled = list(tests)
    random.Random(1).shuffle(shuffled)
    for costs in (_COSTS, None):
        found = [
            [{test.name for test in shard} for shard in shards_of(each, 4, costs)]
            for each in (tests, shuffled)
        ]
        assert found[0] == found[1]


def test_shards_with_costs_take_equally_long() -> None:
    numbers = random.Random(7)
    tests = [Test(f"t{number}", numbers.lognormvariate(-2, 1.2)) for number in range(400)]
    loads = [sum(test.seconds for test in shard) for shard in shards_of(tests, 4, Costs())]
    assert max(loads) / (sum(loads) / 4) <= 1.05


def test_tests_of_one_stack_stay_together_where_its_start_costs_more_than_balance() -> None:
    tests = [Test(f"db{number}", 1.0, "db") for number in range(4)]
    tests += [Test(f"pure{number}", 1.0) for number in range(10)]
    shards = shards_of(tests, 2, _COSTS)
    assert sorted(sum(bool(test.stack) for test in shard) for shard in shards) == [0, 4]


def test_without_costs_a_new_test_moves_no_other_one() -> None:
    tests = [Test(f"t{number}", 1.0) for number in range(60)]
    before = [{test.name for test in shard} for shard in shards_of(tests, 3, None)]
    after = [
        {test.name for test in shard} for shard in shards_of([*tests, Test("new", 1.0)], 3, None)
    ]
    assert [names - {"new"} for names in after] == before


def test_copies_are_bounded_by_leases_workers_limit_and_memory() -> None:
    def copies(
        leases: int, workers: int, *, limit: int = 9, memory: int = 0, engines: int = 1
    ) -> int:
        found = resources_of(
            _COSTS, {"db": leases}, workers, limit=limit, memory_bytes=memory, engines=engines
        )
        return found.stack("db").copies

    assert copies(leases=20, workers=3) == 4
    assert copies(leases=2, workers=3) == 2
    assert copies(leases=20, workers=8, limit=5) == 5
    assert copies(leases=20, workers=8, memory=250) == 2
    assert copies(leases=20, workers=8, memory=250, engines=2) == 5
    assert copies(leases=20, workers=8, memory=50) == 1


def test_the_stack_with_the_most_exclusive_leases_gets_the_most_copies() -> None:
    found = resources_of(Costs(), {"busy": 30, "quiet": 5}, 8, limit=6)
    assert (found.stack("busy").copies, found.stack("quiet").copies) == (5, 1)
