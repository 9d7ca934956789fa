"""The stacks that exist now, who has them, and who waits for one.

A plain class without transport: whoever holds it calls it from as many threads as it likes.
Starting, resetting and removing happen in the pool's own threads; `acquire` blocks, `release`
never does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dockwright.errors import CleanupError, LeaseError, PoolClosedError, UnknownServiceError
from dockwright.measure import Ledger
from dockwright.model import Requirement
from dockwright.pool.copies import Copy, State
from dockwright.pool.factory import Factory
from dockwright.pool.lease import Lease

_log = logging.getLogger(__name__)

_BACKSTOP_S = 1.0  # waiters are notified; they look for themselves this often all the same


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool did so far.

    Attributes:
        started: stacks that became ready.
        resets: dirty stacks that came back clean.
        replaced: stacks that were given up because a reset failed.
        leases: leases that were given.
        stacks: how many exist now, by the name of their state.
    """

    started: int
    resets: int
    replaced: int
    leases: int
    stacks: Mapping[str, int]


class Pool:
    """Starts, leases, resets and removes stacks.

    Args:
        factories: one for each declared stack.
        max_stacks: how many stacks may exist at once, 1 or more.
        ledger: takes the time of starts, waits, resets and removals.
    """

    def __init__(
        self, factories: Mapping[str, Factory], *, max_stacks: int, ledger: Ledger
    ) -> None:
        if max_stacks < 1:
            raise ValueError(f"max_stacks must be 1 or more, not {max_stacks}")
        self._factories = dict(factories)
        self._max_stacks = max_stacks
        self._ledger = ledger
        self._changed = threading.Condition()
        self._copies: list[Copy] = []
        self._waiting: Counter[str] = Counter()
        self._failures: dict[str, Exception] = {}
        self._counts: Counter[str] = Counter()
        self._closed = False
        self._workers = ThreadPoolExecutor(max_stacks * 2, thread_name_prefix="dockwright-pool")

    # -- leases ------------------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Start a stack in the background, if none of that name exists: it will be needed."""
        with self._changed:
            self._check_open()
            if not any(copy.name == name for copy in self._copies):
                self._grow(name)

    def acquire(self, requirement: Requirement, *, timeout_s: float) -> Lease:
        """Wait for a stack that meets the requirement, and lease it.

        Raises:
            UnknownServiceError: no stack of that name is declared.
            DockwrightError: the stack cannot be started: what its start failed with.
            LeaseError: none became free within `timeout_s`; tells what the pool is doing.
            PoolClosedError: the pool was closed.
        """
        began = time.monotonic()
        with self._changed:
            self._check_declared(requirement.stack)
            self._waiting[requirement.stack] += 1
            try:
                copy = self._wait_for_copy(requirement, began + timeout_s)
            finally:
                self._waiting[requirement.stack] -= 1
            copy.enter(requirement.holder, exclusive=requirement.exclusive)
            self._counts["leases"] += 1
        waited_s = time.monotonic() - began
        self._ledger.add("queue", waited_s)
        return Lease(requirement, copy.stack, waited_s)

    def release(self, lease: Lease, *, keep: bool = False) -> None:
        """End a lease. An exclusively leased stack is reset in the background.

        Args:
            lease: what `acquire` returned; releasing it twice is a no-op.
            keep: leave the stack as it is, for a person to look at; the pool forgets it.
        """
        lease.leased.close()
        with self._changed:
            copy = self._copy_of(lease)
            if copy is None or lease.requirement.holder not in copy.holders:
                return
            copy.leave(lease.requirement.holder)
            if keep:
                copy.state = State.KEPT
                self._copies.remove(copy)
            elif copy.state is State.RESETTING and not self._closed:
                self._workers.submit(self._reset, copy)
            self._changed.notify_all()

    def close(self) -> None:
        """Remove every stack and end the pool's threads; nothing can be leased any more.

        Raises:
            CleanupError: something could not be removed; everything else was.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            copies = list(self._copies)
            self._changed.notify_all()
        for copy in copies:
            copy.stack.cancel()
        self._workers.shutdown(wait=True)
        with self._ledger.timed("cleanup"):
            self._remove_all(copies)

    def statistics(self) -> PoolStatistics:
        """Return what the pool did so far."""
        with self._changed:
            return PoolStatistics(
                started=self._counts["started"],
                resets=self._counts["resets"],
                replaced=self._counts["replaced"],
                leases=self._counts["leases"],
                stacks=Counter(copy.state.value for copy in self._copies),
            )

    # -- choosing (the lock is held) ---------------------------------------------------------

    def _wait_for_copy(self, requirement: Requirement, deadline: float) -> Copy:
        while True:
            self._check_open()
            failure = self._failures.get(requirement.stack)
            if failure is not None:
                raise failure
            copy = self._choose(requirement)
            if copy is not None:
                return copy
            self._grow(requirement.stack)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._timeout(requirement)
            self._changed.wait(min(remaining, _BACKSTOP_S))

    def _choose(self, requirement: Requirement) -> Copy | None:
        admitting = [
            copy
            for copy in self._copies
            if copy.name == requirement.stack and copy.admits(exclusive=requirement.exclusive)
        ]
        # Readers gather on one stack, so that the clean ones are left to those who change state.
        return min(admitting, key=lambda copy: copy.state is not State.SHARED, default=None)

    def _grow(self, name: str) -> None:
        coming = sum(
            copy.name == name and copy.state in (State.STARTING, State.RESETTING)
            for copy in self._copies
        )
        if coming >= max(1, self._waiting[name]):
            return
        if len(self._copies) >= self._max_stacks and not self._evict_other(name):
            return
        factory = self._factories[name]
        stack = factory.new()
        copy = Copy(name, stack, factory.baseline(stack))
        self._copies.append(copy)
        self._workers.submit(self._start, copy)

    def _evict_other(self, name: str) -> bool:
        """Give an idle stack of another name up, so that one of this name has room."""
        for copy in self._copies:
            if copy.name != name and copy.state is State.CLEAN and not self._waiting[copy.name]:
                self._copies.remove(copy)
                self._workers.submit(self._discard, copy)
                return True
        return False

    def _timeout(self, requirement: Requirement) -> LeaseError:
        mine = [copy for copy in self._copies if copy.name == requirement.stack]
        states = ", ".join(f"{copy.stack.identity.project} is {copy.state.value}" for copy in mine)
        holders = ", ".join(sorted(holder for copy in mine for holder in copy.holders))
        return LeaseError(
            f"no stack {requirement.stack!r} became free for {requirement.holder} "
            f"({states or 'none exists'}; held by: {holders or 'nobody'})",
            hint="raise dockwright_max_stacks or dockwright_start_timeout",
        )

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosedError("the pool of stacks is closed: the session has ended")

    def _check_declared(self, name: str) -> None:
        if name not in self._factories:
            raise UnknownServiceError(
                f"no stack {name!r} is declared",
                hint=f"the stacks are: {', '.join(sorted(self._factories))}; "
                "declare more with dockwright_stacks = ['NAME=FILE']",
            )

    def _copy_of(self, lease: Lease) -> Copy | None:
        return next((copy for copy in self._copies if copy.stack is lease.stack), None)

    # -- work (in the pool's threads) --------------------------------------------------------

    def _start(self, copy: Copy) -> None:
        def start() -> None:
            times = copy.stack.start()
            self._ledger.add("start", times.start_s)
            self._ledger.add("wait", times.wait_s)
            copy.baseline.capture()

        failure = self._attempt(start)
        with self._changed:
            if failure is None:
                copy.state = State.CLEAN
                self._counts["started"] += 1
            else:
                self._copies.remove(copy)
                self._failures[copy.name] = failure
            self._changed.notify_all()
        if failure is not None:
            self._discard(copy)

    def _reset(self, copy: Copy) -> None:
        def reset() -> None:
            with self._ledger.timed("reset"):
                copy.baseline.reset()

        failure = self._attempt(reset)
        with self._changed:
            if failure is None:
                copy.state = State.CLEAN
                self._counts["resets"] += 1
            else:
                _log.warning(
                    "reset of %s failed, it is replaced: %s", copy.stack.identity.project, failure
                )
                self._copies.remove(copy)
                self._counts["replaced"] += 1
            self._changed.notify_all()
        if failure is not None:
            self._discard(copy)

    @staticmethod
    def _attempt(work: Callable[[], None]) -> Exception | None:
        try:
            work()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the waiters must hear of it
            return failure
        return None

    def _discard(self, copy: Copy) -> None:
        with self._ledger.timed("cleanup"):
            failure = self._attempt(partial(self._remove, copy))
        if failure is not None:  # it bears our labels: the reaper takes it away later
            _log.warning("could not remove %s: %s", copy.stack.identity.project, failure)

    def _remove(self, copy: Copy) -> None:
        copy.stack.remove()
        self._factories[copy.name].discard(copy.stack)

    def _remove_all(self, copies: list[Copy]) -> None:
        failures: list[Exception] = []
        with ThreadPoolExecutor(max(1, len(copies))) as workers:
            for job in [workers.submit(self._remove, copy) for copy in copies]:
                failure = job.exception()
                if isinstance(failure, Exception):
                    failures.append(failure)
        if failures:
            raise CleanupError(
                "could not remove every stack:\n  "
                + "\n  ".join(str(failure) for failure in failures),
                hint="run `dockwright clean` to try again",
            ) from ExceptionGroup("removals that failed", failures)
