"""A thread for the blocking part of a wait, so that the wait itself can end at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockwright.errors import ConflictError, NoSuchObjectError
from dockwright.wait.loop import Continue, Outcome

if TYPE_CHECKING:
    from dockwright.wait.loop import Cadence, Wait
    from dockwright.wait.strategy import Check

NOT_NOW = (ConflictError, NoSuchObjectError)
"""What the engine answers for a container that is not started yet, paused, restarting or gone."""


class Worker:
    """Runs `work` in a thread until it returns, then wakes the wait.

    The thread is not joined at the end of the wait: it may be in a long call. `closed` is set, and
    `work` ends when it next checks that.
    """

    def __init__(self, wait: Wait, name: str, work: Callable[[Worker], None]) -> None:
        self.closed = threading.Event()
        self.ended = False
        self._wait = wait
        self._work = work
        self._failure: BaseException | None = None
        wait.closing.callback(self.closed.set)
        threading.Thread(target=self._run, name=f"dockwright-{name}", daemon=True).start()

    def raise_failure(self) -> None:
        """Raise what `work` raised, if it did, in the thread that waits."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001  (not lost: the waiting thread raises it)
            self._failure = error
        self.ended = True
        self._wait.wakeup.set()


def repeat(
    worker: Worker,
    wait: Wait,
    probe: Callable[[], Outcome],
    publish: Callable[[Outcome], None],
    cadence: Cadence | None = None,
) -> None:
    """Run a blocking `probe` at a cadence until it returns something other than `Continue`.

    The cadence is that of the wait unless another is given.

    A target that is missing or in the wrong state does not end it: the guard of the wait does.
    """
    clock, cadence = wait.options.clock, cadence or wait.options.cadence
    began = clock.now()
    while not worker.closed.is_set():
        started = clock.now()
        try:
            outcome = probe()
        except NOT_NOW as error:
            outcome = Continue(error.message)
        publish(outcome)
        if not isinstance(outcome, Continue):
            return
        ended = clock.now()
        pause_s = cadence.pause_s(ended - began, cost_s=ended - started)
        clock.wait(worker.closed, pause_s)


def begin_probing(
    wait: Wait, name: str, probe: Callable[[], Outcome], *, cadence: Cadence | None = None
) -> Check:
    """Repeat a blocking `probe` in a thread; return the check that returns its last outcome."""
    last: list[Outcome] = [Continue("the first attempt has not ended yet")]

    def publish(outcome: Outcome) -> None:
        last[0] = outcome

    worker = Worker(wait, name, lambda worker: repeat(worker, wait, probe, publish, cadence))

    def check() -> Outcome:
        worker.raise_failure()
        return last[0]

    return check
