"""How many copies pay off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dockwright.pool.sizing import DemandEstimate


def wanted(demand: DemandEstimate, *, at_once: int = 1, limit: int = 4) -> int:
    return demand.copies_wanted(at_once=at_once, limit=limit)


def test_one_copy_is_started_before_costs_are_known() -> None:
    assert wanted(DemandEstimate(coming_exclusive=100)) == 1


def test_readers_alone_never_need_a_second_copy() -> None:
    assert wanted(DemandEstimate(coming_exclusive=0, start_s=2.0, reset_s=5.0)) == 1


def test_slow_resets_between_many_tests_pay_for_copies_up_to_the_limit() -> None:
    assert wanted(DemandEstimate(coming_exclusive=50, start_s=2.0, reset_s=1.0, hold_s=0.1)) == 4


def test_a_spare_covers_a_reset_that_is_as_long_as_a_test() -> None:
    assert wanted(DemandEstimate(coming_exclusive=50, start_s=1.0, reset_s=0.1, hold_s=0.1)) == 2


def test_two_clients_at_once_want_twice_as_many() -> None:
    demand = DemandEstimate(coming_exclusive=50, start_s=1.0, reset_s=0.1, hold_s=0.1)
    assert wanted(demand, at_once=2) == 4


def test_clients_wait_for_each_other_when_faster_than_a_start() -> None:
    demand = DemandEstimate(coming_exclusive=12, start_s=3.0, reset_s=0.01, hold_s=0.03)
    assert wanted(demand, at_once=2) == 1
    demand.coming_exclusive = 200
    assert wanted(demand, at_once=2) == 2


def test_a_wait_is_overdue_after_the_time_of_a_start() -> None:
    demand = DemandEstimate(start_s=3.0)
    assert not demand.is_overdue(2.9)
    assert demand.is_overdue(3.0)


def test_an_expected_reset_time_does_not_replace_a_known_one() -> None:
    demand = DemandEstimate()
    demand.expect_reset(0.05)
    assert demand.reset_s == 0.05
    demand.expect_reset(1.0)
    assert demand.reset_s == 0.05


def test_a_copy_must_save_more_than_it_costs() -> None:
    assert wanted(DemandEstimate(coming_exclusive=3, start_s=4.0, reset_s=0.01, hold_s=0.1)) == 1


def test_before_the_first_reset_there_is_one_spare_at_most() -> None:
    demand = DemandEstimate(coming_exclusive=50, start_s=1.0, hold_s=0.5, cores=4)
    assert wanted(demand) == 2
    assert wanted(replace(demand, cores=2)) == 1  # it would slow that reset
    assert wanted(replace(demand, busy=3.5)) == 1


def test_each_copy_must_pay_for_itself() -> None:
    # With two copies a test waits 0.25 s less, with three 0.05 s less than with two.
    demand = DemandEstimate(coming_exclusive=4, start_s=1.0, reset_s=0.3, hold_s=0.2)
    assert wanted(demand) == 2
    demand.coming_exclusive = 11
    assert wanted(demand) == 3


def test_measured_times_are_smoothed() -> None:
    demand = DemandEstimate()
    demand.note_reset(1.0)
    demand.note_reset(2.0)
    assert demand.reset_s == pytest.approx(1.3)
    demand.note_hold(0.5)
    assert demand.hold_s == 0.5


@pytest.mark.parametrize(
    ("at_once", "reset_s", "hold_s", "expected"),
    [
        (0, 1.0, 0.1, 0),  # nobody ever wanted one alone
        (1, 0.01, 0.1, 2),
        (1, 0.1, 0.1, 3),  # a reset may last twice as long
        (2, 0.01, 0.1, 3),
        (2, 0.1, 0.1, 5),  # the limit
        (7, 0.1, 0.1, 5),
    ],
)
def test_the_copies_of_an_idle_pool_hide_every_reset(
    at_once: int, reset_s: float, hold_s: float, expected: int
) -> None:
    demand = DemandEstimate(
        given_exclusive=20, most_at_once=at_once, start_s=1.0, reset_s=reset_s, hold_s=hold_s
    )
    assert demand.idle_copies_wanted(limit=5) == expected


@pytest.mark.parametrize(("leases", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (20, 4)])
def test_a_run_needs_no_more_copies_than_it_has_exclusive_leases(
    leases: int, expected: int
) -> None:
    demand = DemandEstimate(most_at_once=1, start_s=1.0, reset_s=1.0, hold_s=0.1)
    for _ in range(leases):
        demand.note_lease()
    assert demand.idle_copies_wanted(limit=4) == expected


def test_a_spare_has_to_pay_for_its_seed_too() -> None:
    demand = DemandEstimate(coming_exclusive=10, start_s=1.0, reset_s=0.5, hold_s=0.5)
    assert wanted(demand) == 2
    demand.seed_s = 10.0
    assert wanted(demand) == 1


def test_more_copies_do_not_pay_where_the_cores_are_the_limit() -> None:
    slow = DemandEstimate(coming_exclusive=50, start_s=2.0, reset_s=1.0, hold_s=0.1)
    assert wanted(replace(slow, busy=1.0, cores=8)) == 4
    assert wanted(replace(slow, busy=1.0, cores=2)) == 3
    assert wanted(replace(slow, busy=2.0, cores=2)) == 2


def test_a_start_that_takes_the_cores_from_the_tests_must_save_all_that_it_costs() -> None:
    few = DemandEstimate(coming_exclusive=4, start_s=2.0, reset_s=0.5, hold_s=0.1)
    assert wanted(replace(few, busy=0.5, cores=8)) == 2
    assert wanted(replace(few, busy=1.5, cores=2)) == 1


def test_a_pool_that_stays_warm_after_one_test_keeps_one_copy() -> None:
    demand = DemandEstimate(coming_exclusive=1, start_s=2.0, reset_s=1.0)
    demand.note_lease()
    demand.note_hold(0.1)
    demand.most_at_once = 1
    assert demand.idle_copies_wanted(limit=4) == 1


def test_a_pool_that_stays_warm_keeps_no_copies_that_the_cores_cannot_serve() -> None:
    demand = DemandEstimate(
        start_s=9.0, reset_s=5.0, hold_s=0.5, given_exclusive=12, most_at_once=1
    )
    assert demand.idle_copies_wanted(limit=4) == 4
    assert replace(demand, busy=1.0, cores=2).idle_copies_wanted(limit=4) == 3
    assert replace(demand, busy=2.0, cores=2).idle_copies_wanted(limit=4) == 2
