"""Starts and resets wait until there are cores for them."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dockwright.pool.cores import Cores, usable_cores


class Work:
    """Work that is inside for as long as a test wants."""

    def __init__(self, cores: Cores, busy: float) -> None:
        self.inside = threading.Event()
        self.may_end = threading.Event()
        self._cores, self._busy = cores, busy

    def run(self) -> None:
        with self._cores.taking(self._busy):
            self.inside.set()
            assert self.may_end.wait(10)


def begin(pool: ThreadPoolExecutor, cores: Cores, busy: float) -> tuple[Work, Future[None]]:
    work = Work(cores, busy)
    return work, pool.submit(work.run)


def test_work_waits_for_cores_in_its_turn() -> None:
    cores = Cores(2)
    with ThreadPoolExecutor(3) as pool:
        first, _ = begin(pool, cores, 1.5)
        assert first.inside.wait(10)
        second, _ = begin(pool, cores, 1.0)
        third, _ = begin(pool, cores, 0.2)  # there would be room, but the second was first
        assert not second.inside.wait(0.1)
        assert not third.inside.is_set()
        first.may_end.set()
        assert second.inside.wait(10)
        assert third.inside.wait(10)
        second.may_end.set()
        third.may_end.set()


def test_work_that_keeps_more_cores_busy_than_there_are_runs_alone() -> None:
    cores = Cores(2)
    with ThreadPoolExecutor(2) as pool:
        first, _ = begin(pool, cores, 9.0)
        assert first.inside.wait(10)
        second, _ = begin(pool, cores, 0.1)
        assert not second.inside.wait(0.1)
        first.may_end.set()
        assert second.inside.wait(10)
        second.may_end.set()


def test_work_of_unknown_use_does_not_wait() -> None:
    cores = Cores(1)
    with cores.taking(1.0), cores.taking(0.0):
        pass


def test_a_failure_gives_the_cores_back() -> None:
    cores = Cores(1)
    with pytest.raises(RuntimeError), cores.taking(1.0):
        raise RuntimeError
    with cores.taking(1.0):
        pass


def test_closing_wakes_all_waiters() -> None:
    cores = Cores(1)
    with ThreadPoolExecutor(1) as pool, cores.taking(1.0):
        waiting, _ = begin(pool, cores, 1.0)
        assert not waiting.inside.wait(0.1)
        cores.open()
        assert waiting.inside.wait(10)
        waiting.may_end.set()


def test_there_is_at_least_one_core() -> None:
    assert usable_cores() >= 1
    assert Cores().count == usable_cores()
