"""The copies that exist now, who holds them, and who waits for one.

A plain class without transport, callable from any number of threads. Copies are started, reset and
removed in the pool's own threads: `acquire` blocks, `release` never does.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from dockwright.engine import Engine
from dockwright.errors import (
    CleanupError,
    LeaseClosedError,
    PoolClosedError,
    StackBrokenError,
    UnknownServiceError,
    explained,
)
from dockwright.model import Json, Requirement, Trace
from dockwright.pool.copies import (
    Copy,
    State,
    Waiter,
    choose,
    client_of,
    described,
    still_taken,
    to_seed,
)
from dockwright.pool.cores import Cores
from dockwright.pool.factory import Factory
from dockwright.pool.lease import Lease, LeaseInfo
from dockwright.pool.maintenance import Maintenance, OutsideChangeWatch
from dockwright.pool.sizing import CopyRegistry
from dockwright.pool.timeline import PoolTimeline, living
from dockwright.recording import RunningCopy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool has done so far, and the copies that it has now.

    Attributes:
        started: copies that became ready.
        resets: dirty copies that became clean.
        replaced: copies that were replaced because a reset failed.
        leases: leases that were given.
        engine_calls: calls to the engine.
        stacks: the project name, stack, state and holders of each copy.
    """

    started: int
    resets: int
    replaced: int
    leases: int
    engine_calls: int
    stacks: tuple[Mapping[str, Json], ...] = ()


class CountDeltas:
    """Reports each count once."""

    def __init__(self) -> None:
        self._reported: Counter[str] = Counter()

    def since_last(self, now: PoolStatistics) -> dict[str, int]:
        """Return by how much each count has grown since the last call."""
        names = ("started", "resets", "replaced", "leases", "engine_calls")
        totals = Counter({name: getattr(now, name) for name in names})
        grown = {name: totals[name] - self._reported[name] for name in names}
        self._reported = totals
        return grown


_KEEPING_S = 2.0  # a cached baseline saves every later run about as much
_CALLED_OFF_S = 0.5  # how long a cancelled start or reset may take to end by itself
_BACKSTOP_S = 1.0  # waiters are notified; they also check this often by themselves
_WATCHED_S = 1.0  # how long an audit watches an unused copy, once, to learn what it does itself
_OFTEN = 2  # what an unused copy was seen to do so often is its own doing
_IDLE_S = 0.1  # nobody uses a shared copy for so long: a check disturbs no test


class Pool:
    """Starts, leases, resets and removes copies of stacks.

    Args:
        engine: where the copies run.
        max_stacks: the most copies at once; 0: as many as pay off and memory allows.
        timeline: records starts, waits, leases, resets and removals.
    """

    def __init__(self, engine: Engine, *, max_stacks: int, timeline: PoolTimeline) -> None:
        self._engine = engine
        self._timeline = timeline
        self._changed = threading.Condition()
        self._failures: dict[str, Exception] = {}
        self._declared: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._deltas = CountDeltas()
        self._closed = False
        self._closed_s = math.inf
        self._workers = ThreadPoolExecutor(32, thread_name_prefix="dockwright-pool")
        self._jobs: set[Future[None]] = set()
        self._maintenance = Maintenance(lambda copy: self._registry.factories[copy.key], timeline)
        self._registry = CopyRegistry(
            max_stacks,
            start=self._begin,
            discard=lambda copy: self._do(self._maintenance.discard, copy),
        )
        self._cores = Cores()
        self._watch = OutsideChangeWatch(engine, self._note_outside_change)

    # -- declared stacks ---------------------------------------------------------------------

    def declares(self, key: str) -> bool:
        """Return whether a stack with this key is declared."""
        with self._changed:
            return key in self._registry.factories

    def has(self, key: str) -> bool:
        """Return whether there is a copy of a stack."""
        with self._changed:
            return bool(self._registry.of(key))

    def is_leased(self, key: str) -> bool:
        """Return whether somebody holds a copy of a stack."""
        with self._changed:
            return any(copy.holders for copy in self._registry.of(key))

    def declare(self, key: str, factory: Factory, *, run: str = "") -> None:
        """Declare a stack, without starting it; no-op if this run has declared it before.

        Args:
            key: identifies it; another key with the same name is another version of the stack.
            factory: makes its copies.
            run: the run that declares it; a new run tries again what failed to start before.
        """
        with self._changed:
            if (key, run) in self._declared and key in self._registry.factories:
                return
            self._declared.add((key, run))
            self._failures.pop(key, None)
            if key not in self._registry.factories:
                self._registry.declare(key, factory)
            self._registry.supersede(key)

    def prepare(self, key: str, *, exclusive: int = 0) -> None:
        """Start a copy in the background if the stack has none.

        Args:
            key: which declared stack.
            exclusive: how many exclusive leases the caller will ask for.
        """
        with self._changed:
            self._check_open()
            self._check_declared(key)
            self._registry.demand[key].coming_exclusive += exclusive
            if not self._registry.of(key):
                self._registry.grow(key)

    # -- leases ------------------------------------------------------------------------------

    def acquire(
        self,
        requirement: Requirement,
        *,
        timeout_s: float,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Lease:
        """Wait for a copy that meets the requirement, and lease it.

        A lease with `seeding` set is only for running the suite's seed: end it with `seeded`, then
        ask again.

        Args:
            requirement: what the test needs; its `stack` is a declared key.
            timeout_s: how long to wait, in seconds.
            abandoned: returns whether the client has gone; called after each `wake`.

        Raises:
            UnknownServiceError: no stack of that name is declared.
            DockwrightError: the stack cannot be started: what its start failed with.
            LeaseError: none became free within `timeout_s`; lists the copies and their holders.
            PoolClosedError: the pool was closed, or the wait was abandoned.
        """
        client = client_of(requirement.holder)
        waiter = Waiter.of(requirement, client)
        with self._changed:
            self._check_declared(requirement.stack)
            factory = self._registry.factories[requirement.stack]
            waiter.solitary = requirement.audited and factory.touches_the_host
            self._registry.waiters.append(waiter)
            try:
                copy = self._wait_for_copy(requirement, waiter, timeout_s, abandoned)
            finally:
                self._registry.waiters.remove(waiter)
            if copy.state is State.UNSEEDED:
                copy.become(State.SEEDING)
                copy.holders.add(requirement.holder)
                return _lease(requirement, copy, 0.0, seeding=True)
            copy.enter(requirement)
            self._counts["leases"] += 1
            lost, copy.lost = copy.lost if copy.kept_for == client else None, None
            if requirement.sticky:
                copy.kept_for = client
            self._follow_up(requirement, copy)
        lease = _lease(requirement, copy, time.monotonic() - waiter.since_s)
        lease.lost = lost
        return lease

    def reset(self, lease: Lease) -> None:
        """Reset the stack of an exclusive lease that goes on; its `facts` and `lost` are new then.

        Raises:
            LeaseClosedError: the lease has ended.
            StackBrokenError: the reset failed; the stack is replaced after the lease.
        """
        with self._changed:
            copy = self._registry.copy_of(lease.stack)
            if copy is None or copy.holders != {lease.requirement.holder}:
                raise LeaseClosedError(f"the lease of {lease.requirement.holder} has ended")
        copy.repeatable = False  # its holder goes on, and will not repeat everything
        failure = self._maintenance.reset(copy)
        if failure is not None:
            copy.changed_outside = True
            project = copy.stack.identity.project
            raise StackBrokenError(
                f"the reset of {project} failed: {explained(failure)}"
            ) from failure
        lease.facts, lease.lost, copy.lost = LeaseInfo.of(copy.stack), copy.lost or (), None

    def audit(self, lease: Lease, *, before: bool) -> list[Trace]:
        """Look at what was done to the stack of an audited lease that goes on, and undo it.

        Args:
            lease: the lease.
            before: its holder has not used it yet, so that what is found is the stack's own doing:
                what it does repeatedly is not reported from then on.

        Returns:
            What the holder did.

        Raises:
            LeaseClosedError: the lease has ended.
            DockwrightError: nothing could be found out.
        """
        with self._changed:
            copy = self._registry.copy_of(lease.stack)
            if copy is None or copy.holders != {lease.requirement.holder}:
                raise LeaseClosedError(f"the lease of {lease.requirement.holder} has ended")
        if before and not copy.watched:  # once, to learn what the stack does by itself
            copy.watched = True
            self._look_at(copy)
            time.sleep(_WATCHED_S)  # whatever happens meanwhile is the stack's own doing
            copy.habits.update({each.place: _OFTEN for each in self._look_at(copy)})
        traces = self._look_at(copy)
        if before:
            copy.habits.update(each.place for each in traces)
        return [each for each in traces if not copy.does_by_itself(each, often=_OFTEN)]

    def _look_at(self, copy: Copy) -> Sequence[Trace]:
        """Return what was done to a leased copy, after undoing it if possible."""
        traces, failure = self._maintenance.audit(copy)
        with self._changed:
            copy.changed_outside |= failure is not None
            copy.wrote_itself |= not all(each.certain for each in traces)
        if failure is not None and not traces:
            raise failure
        return traces

    def release(self, lease: Lease, *, keep: bool = False) -> None:
        """End a lease. An exclusively leased stack is reset in the background.

        Args:
            lease: what `acquire` returned; releasing it twice is a no-op.
            keep: leave the copy as it is, for a person to look at; the pool forgets it.
        """
        lease.leased.close()
        with self._changed:
            copy = self._registry.copy_of(lease.stack)
            if copy is None or lease.requirement.holder not in copy.holders:
                return
            if copy.state is State.SEEDING:  # its client died: it may be half seeded
                self._registry.evict(copy)
                self._changed.notify_all()
                return
            self._timeline.released(lease)
            if lease.requirement.alone:
                self._registry.demand[copy.key].note_hold(time.monotonic() - copy.since_s)
            copy.leave(lease.requirement.holder)
            exact = lease.requirement.exclusive or copy.wrote_itself
            copy.wrote_itself = False
            if keep:
                copy.become(State.KEPT)
                self._registry.copies.remove(copy)
            elif copy.state is State.RESETTING and not self._closed:
                self._do(self._reset if exact else self._heal, copy)
            elif not self._closed:
                copy.checks += 1
                self._do(self._check, copy)
            self._changed.notify_all()

    def seeded(self, lease: Lease, failure: Exception | None) -> None:
        """End the seeding of a stack: its baseline is captured in the background.

        Args:
            lease: one that `acquire` returned as `seeding`.
            failure: why it could not be seeded; raised for everybody who waits for this stack.
        """
        lease.leased.close()
        with self._changed:
            copy = self._registry.copy_of(lease.stack)
            if copy is None or self._closed:
                return
            self._registry.demand[copy.key].seed_s = time.monotonic() - copy.since_s
            copy.holders.clear()
            copy.become(State.STARTING)
            self._do(self._complete, copy, failure)

    def wake(self) -> None:
        """Let every waiter check whether its client has gone."""
        with self._changed:
            self._changed.notify_all()

    def drain(self) -> None:
        """Remove the copies that nobody uses, in the background."""
        with self._changed:
            for copy in [each for each in self._registry.copies if each.idle]:
                self._registry.evict(copy)

    def start_spares(self) -> None:
        """Start the spares that hide resets from the next run, while nobody waits for a copy.

        Services in doubt get new containers: the next run starts without.
        """
        with self._changed:
            if self._closed:
                return
            for copy in self._registry.copies:
                if copy.doubted and copy.state is State.CLEAN:
                    copy.become(State.RESETTING)
                    self._do(partial(self._heal, copy, without_doubt=True))
            self._registry.start_spares()

    def abandon_starts(self) -> None:
        """Cancel the starts whose last client has left, and remove what they have created.

        A spare goes on starting: another copy works, and the next run can use a second one.
        """
        with self._changed:
            for copy in [each for each in self._registry.copies if each.state is State.STARTING]:
                others = self._registry.of(copy.key)
                if all(each.state is State.STARTING for each in others):
                    copy.stack.cancel()
                    self._do(self._maintenance.discard, copy)

    def close(self) -> None:
        """Remove every copy and end the pool's threads; no more leases are given.

        Raises:
            CleanupError: something could not be removed; everything else was.
        """
        with self._changed:
            if self._closed:
                return
            self._closed, self._closed_s = True, time.monotonic()
            copies = list(self._registry.copies)
            self._changed.notify_all()
        self._watch.close()
        for copy in copies:
            copy.stack.cancel()
        self._cores.open()
        if wait(list(self._jobs), timeout=_CALLED_OFF_S).not_done:
            # A start or reset hangs although it was cancelled. Removing its containers usually
            # ends it.
            with suppress(CleanupError):
                self._maintenance.remove_all(copies)
        self._workers.shutdown(wait=True)
        self._maintenance.remove_all(copies)

    @property
    def touches_the_host(self) -> bool:
        """Whether a copy that is being removed may still change or hold something outside it."""
        with self._changed:
            copies = list(self._registry.copies)
            return any(self._registry.factories[each.key].touches_the_host for each in copies)

    def note_removal(self) -> None:
        """Note that the removal of all copies begins, for those who do not wait for its end."""
        with self._changed:
            for copy in self._registry.copies:
                self._timeline.removal_begins(copy)

    def statistics(self) -> PoolStatistics:
        """Return what the pool has done so far, and the copies that it has now."""
        with self._changed:
            return PoolStatistics(
                started=self._counts["started"],
                resets=self._counts["resets"],
                replaced=self._counts["replaced"],
                leases=self._counts["leases"],
                engine_calls=self._engine.statistics().calls,
                stacks=tuple(described(copy) for copy in self._registry.copies),
            )

    def living(self) -> list[RunningCopy]:
        """Return the containers and processes of the copies that exist now."""
        with self._changed:
            return [living(copy) for copy in self._registry.copies]

    def drain_counts(self) -> dict[str, int]:
        """Return the counts since the last call, so that each is reported once."""
        now = self.statistics()
        with self._changed:
            return self._deltas.since_last(now)

    # -- choosing (the lock is held) ---------------------------------------------------------

    def _wait_for_copy(
        self,
        requirement: Requirement,
        waiter: Waiter,
        timeout_s: float,
        abandoned: Callable[[], bool],
    ) -> Copy:
        deadline = waiter.since_s + timeout_s
        while True:
            self._check_open()
            if abandoned():
                raise PoolClosedError("request cancelled: the client disconnected")
            failure = self._failures.get(requirement.stack)
            if failure is not None:
                raise failure
            copies = self._registry.of(requirement.stack)
            wanted = self._registry.copies_wanted(waiter.key) if waiter.exclusive else 1
            copy = choose(copies, waiter, self._registry.waiters) or to_seed(copies, wanted=wanted)
            if copy is not None:
                return copy
            self._prove_one(copies, waiter)
            if waiter.sticky:
                self._registry.grow_for_sticky(waiter)
            else:
                self._registry.grow_if_needed(waiter)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                sole = self._registry.factories[requirement.stack].sole
                raise still_taken(requirement, copies, sole)
            self._changed.wait(min(remaining, _BACKSTOP_S))

    def _follow_up(self, requirement: Requirement, copy: Copy) -> None:
        """Prepare for what comes after a lease that begins."""
        if requirement.alone:
            self._registry.demand[requirement.stack].note_lease()
        if requirement.alone and not requirement.sticky:
            self._registry.keep_spares(requirement.stack)
        if not requirement.alone and len(copy.shared_by) == 1:
            self._do(self._prove_when_idle, copy)

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosedError("the pool is closed: the run has ended")

    def _check_declared(self, key: str) -> None:
        if key not in self._registry.factories:
            raise UnknownServiceError(
                f"no stack {key!r} is declared",
                hint=f"the stacks are: {', '.join(sorted(self._registry.factories)) or 'none'}",
            )

    def _note_outside_change(self, container: str | None) -> None:
        """Mark the copy of a changed container; a clean copy is reset before its next lease."""
        with self._changed:
            for copy in list(self._registry.copies):
                leased_or_clean = not copy.coming
                if leased_or_clean and container in (None, *copy.stack.containers.values()):
                    self._mark_changed(copy)

    def _mark_changed(self, copy: Copy) -> None:
        """Have a copy that is leased or clean reset before its next lease."""
        copy.changed_outside = True
        if copy.state is State.UNSEEDED:
            self._registry.evict(copy)
        if copy.state is State.CLEAN and not self._closed:
            copy.become(State.RESETTING)
            self._do(self._reset, copy)

    def _prove_one(self, copies: Sequence[Copy], waiter: Waiter) -> None:
        """Check a copy that tests have used, because a lease waits for one at its baseline."""
        copy = next((each for each in copies if waiter.awaits_check(each)), None)
        if copy is not None and not any(each.coming for each in copies):
            copy.become(State.RESETTING)
            self._do(partial(self._heal, copy, without_doubt=not waiter.repeatable))

    # -- work (in the pool's threads) --------------------------------------------------------

    def _do(self, work: Callable[..., None], *arguments: object) -> None:
        """Run something in one of the pool's threads."""
        job = self._workers.submit(work, *arguments)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _begin(self, copy: Copy) -> None:
        self._timeline.made(copy)
        self._do(self._start, copy)

    def _start(self, copy: Copy) -> None:
        for former in copy.former:
            self._maintenance.discard(former)
        with self._cores.taking(self._registry.factories[copy.key].busy):
            began = time.monotonic()
            failure = self._maintenance.start(copy)
        if failure is None:
            self._registry.demand[copy.key].note_start(time.monotonic() - began)
        if failure is not None or not self._maintenance.awaits_seed(copy):
            self._complete(copy, failure)
            return
        with self._changed:
            copy.become(State.UNSEEDED)
            self._changed.notify_all()
        if not self._registry.factories[copy.key].keeps_seed:
            self._maintenance.keep(copy, wanted=self._has_time)

    def _complete(self, copy: Copy, failure: Exception | None) -> None:
        """Capture the baseline of a started (and seeded) copy, so that it can be leased."""
        failure = failure or self._maintenance.complete(copy)
        self._timeline.usable(copy)
        with self._changed:
            if failure is None:
                copy.become(State.CLEAN)
                self._counts["started"] += 1
            else:
                self._registry.copies.remove(copy)
                self._note_failed_start(copy, failure)
            self._changed.notify_all()
        if failure is not None:
            self._maintenance.discard(copy)
        elif not self._closed:
            self._maintenance.measure(copy)
        if self._registry.factories[copy.key].keeps_seed:
            self._maintenance.keep(copy, wanted=lambda: failure is None and self._has_time())

    def _check(self, copy: Copy) -> None:
        """Find out whether a reader broke the copy: the engine's events may come too late."""
        intact = self._maintenance.is_intact(copy)
        with self._changed:
            copy.checks -= 1
            if not intact and not copy.coming and copy in self._registry.copies:
                self._mark_changed(copy)
            self._changed.notify_all()

    def _has_time(self) -> bool:
        """Return whether a baseline may still be kept; the end of a run waits for it."""
        return time.monotonic() < self._closed_s + _KEEPING_S

    def _note_failed_start(self, copy: Copy, failure: Exception) -> None:
        if self._registry.of(copy.key):  # it was a spare; another copy works
            self._registry.demand[copy.key].start_s = None
            if not self._closed:
                project = copy.stack.identity.project
                _log.warning("could not start the spare %s: %s", project, failure)
        elif not copy.stack.cancelled:
            self._failures[copy.key] = failure

    def _prove_when_idle(self, copy: Copy) -> None:
        """Check a copy that tests have shared, once nobody has used it for a moment."""
        with self._changed:
            while (
                not self._closed
                and copy in self._registry.copies  # else it is being removed
                and copy.shared_by
                and copy.state in (State.CLEAN, State.SHARED)
            ):
                left_s = copy.since_s + _IDLE_S - time.monotonic()
                if copy.unproven and left_s <= 0:
                    copy.become(State.RESETTING)
                    break
                self._changed.wait(max(left_s, 0.0) or _BACKSTOP_S)
            else:
                return
        self._heal(copy)

    def _heal(self, copy: Copy, *, without_doubt: bool = False) -> None:
        """Undo what tests did that shared a copy; most did nothing.

        Args:
            copy: the copy.
            without_doubt: whether services in doubt get new containers.
        """
        if copy.changed_outside or not self._maintenance.is_intact(copy):
            self._reset(copy)
            return
        shared_by = list(copy.shared_by)
        traces, failure = self._maintenance.heal(copy)
        if certain := [each for each in traces if each.certain]:
            self._timeline.healed(copy, certain, shared_by)
        if failure is None and without_doubt and copy.doubted:
            failure = self._maintenance.renew(copy)
        if failure is None:
            self._become_clean(copy)
        else:
            self._replace(copy, failure)

    def _reset(self, copy: Copy) -> None:
        if copy.changed_outside and self._maintenance.killed_for_memory(copy):
            with self._changed:
                goes = self._registry.shrink(copy)
            if goes:
                self._replace(copy, StackBrokenError("the host ran out of memory"))
                return
        factory = self._registry.factories[copy.key]
        with self._cores.taking(0.0 if copy.baseline.stays else factory.busy):
            began = time.monotonic()
            failure = self._maintenance.reset(copy)
        if failure is None:
            with self._changed:
                self._registry.demand[copy.key].note_reset(time.monotonic() - began)
                self._counts["resets"] += 1
            self._become_clean(copy)
        else:
            self._replace(copy, failure)

    def _become_clean(self, copy: Copy) -> None:
        with self._changed:
            copy.shared_by.clear()
            copy.become(State.CLEAN)
            self._changed.notify_all()

    def _replace(self, copy: Copy, failure: Exception) -> None:
        """Remove a copy that could not be reset; the pool starts another one where it is needed."""
        sole = bool(self._registry.factories[copy.key].sole)
        if sole:  # its successor needs the same resources
            self._maintenance.discard(copy)
        with self._changed:
            self._registry.copies.remove(copy)
            self._counts["replaced"] += not self._closed
            self._changed.notify_all()
        if not self._closed:
            project = copy.stack.identity.project
            _log.warning("the reset of %s failed, so it is replaced: %s", project, failure)
            if not sole:
                self._maintenance.discard(copy)


def _lease(
    requirement: Requirement, copy: Copy, waited_s: float, *, seeding: bool = False
) -> Lease:
    return Lease(
        requirement,
        LeaseInfo.of(copy.stack),
        lambda: copy.stack,
        waited_s,
        seeding=seeding,
        doubted=copy.doubted,
    )
