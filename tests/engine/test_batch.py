"""Many calls at once: bounded, in order, no failure lost."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from dockwright.engine import parallel
from dockwright.errors import ConflictError, EngineError


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert parallel.run([partial(int, str(number)) for number in range(20)]) == list(range(20))


def test_nothing_to_do_is_fine() -> None:
    assert parallel.run([]) == []


def test_no_more_than_the_bound_run_at_once() -> None:
    lock = threading.Lock()
    running, most = 0, 0
    together = threading.Barrier(3)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)  # three at a time get through, or nobody
        with lock:
            running -= 1

    parallel.run([task] * 9, max_parallel=3)
    assert most == 3


def test_all_tasks_run_although_some_fail_and_all_failures_are_raised() -> None:
    done: list[int] = []

    def task(number: int) -> None:
        if number % 2:
            raise ConflictError(f"task {number}")
        done.append(number)

    with pytest.raises(ExceptionGroup, match="3 of 6 engine calls failed") as caught:
        parallel.run([partial(task, number) for number in range(6)], max_parallel=2)
    assert [str(error) for error in caught.value.exceptions] == ["task 1", "task 3", "task 5"]
    assert sorted(done) == [0, 2, 4]


@pytest.mark.parametrize("others", [0, 2])
def test_a_single_failure_is_raised_itself(others: int) -> None:
    def fail() -> None:
        raise EngineError("alone")

    with pytest.raises(EngineError, match="alone"):
        parallel.run([fail, *[lambda: None] * others])
