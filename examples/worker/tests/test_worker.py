"""The worker, seen through its queue and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from work_queue import WorkQueue

    from dockwright import LeasedStack


@pytest.mark.stateless
def test_the_worker_waits_for_jobs(stack: LeasedStack) -> None:
    assert "waiting for jobs" in stack.logs("worker")


@pytest.mark.stateless
def test_the_queue_listens_where_the_stack_says(stack: LeasedStack) -> None:
    address = stack.address("queue", 6379)
    assert stack.url("queue", 6379, scheme="redis") == f"redis://{address}"


@pytest.mark.stateful
def test_jobs_are_done_in_order(queue: WorkQueue) -> None:
    queue.assert_baseline()
    queue.put("one two three")
    queue.put("")
    assert queue.take() == {"number": 1, "words": 3}
    assert queue.take() == {"number": 2, "words": 0}
    assert queue.call("GET", "done") == "2"


@pytest.mark.stateful
def test_a_broken_job_is_put_aside(queue: WorkQueue) -> None:
    queue.assert_baseline()
    queue.put(["not", "a", "text"])
    queue.put("still at work")
    assert queue.take("failed") == {"text": ["not", "a", "text"]}
    assert queue.take() == {"number": 1, "words": 3}
    assert "failed: " in queue.stack.logs("worker")


@pytest.mark.stateful
def test_jobs_wait_while_the_worker_is_away(queue: WorkQueue) -> None:
    queue.assert_baseline()
    queue.stack.stop("worker")
    queue.put("a b")
    assert queue.call("LLEN", "jobs") == "1"
    queue.stack.start("worker")
    assert queue.take() == {"number": 1, "words": 2}


@pytest.mark.stateful
def test_a_killed_worker_begins_to_count_again(queue: WorkQueue) -> None:
    queue.assert_baseline()
    queue.put("a")
    assert queue.take()["number"] == 1
    queue.stack.kill("worker")
    queue.stack.start("worker")
    queue.put("a")
    assert queue.take()["number"] == 1
