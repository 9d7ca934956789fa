"""The stacks that exist now, who has them, and who waits for one.

A plain class without transport: whoever holds it calls it from as many threads as it likes.
Starting, resetting and removing happen in the pool's own threads; `acquire` blocks, `release`
never does.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from dockwright.engine import Engine
from dockwright.errors import (
    CleanupError,
    EngineError,
    PoolClosedError,
    UnknownServiceError,
    explained,
)
from dockwright.model import Json, Requirement
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
from dockwright.pool.factory import Factory, measured_bytes
from dockwright.pool.lease import Lease, LeaseInfo
from dockwright.pool.sizing import Holdings
from dockwright.pool.timeline import Notes, living
from dockwright.recording import RunningCopy

_log = logging.getLogger(__name__)

_PERSISTENCE_S = 5.0  # how long a removal that fails is tried again
_PAUSE_S = 0.25


class Upkeep:
    """Works on one copy at a time, in the caller's thread.

    Args:
        factory_of: returns the factory of a copy.
        notes: takes the times.
    """

    def __init__(self, factory_of: Callable[[Copy], Factory], notes: Notes) -> None:
        self._factory_of = factory_of
        self._notes = notes

    def start(self, copy: Copy) -> Exception | None:
        """Start a copy, from a kept baseline if there is one."""
        factory = self._factory_of(copy)
        first = copy.start = factory.start_of(copy.stack)

        def start() -> None:
            first.run(self._notes.waits_of(copy))
            if not factory.keeps_seed:
                first.read()

        return _attempt(start)

    def awaits_seed(self, copy: Copy) -> bool:
        """Tell whether a started copy has to be seeded."""
        return copy.start is not None and self._factory_of(copy).awaits_seed(copy.start)

    def complete(self, copy: Copy) -> Exception | None:
        """Capture the baseline of a copy that is started, and seeded if it has to be."""

        def complete() -> None:
            if copy.start is not None and self._factory_of(copy).keeps_seed:
                # What strategies add to the volumes when they capture is of this copy alone.
                copy.start.read()
            copy.baseline.capture()

        return _attempt(complete)

    def keep(self, copy: Copy, *, wanted: Callable[[], bool]) -> None:
        """Keep for later runs what was read of a copy; it may be used meanwhile."""
        if copy.start is not None:
            copy.start.keep(wanted=wanted)

    def measure(self, copy: Copy) -> None:
        """Find out behind everything how much memory a copy takes, once for all of its stack.

        Older engines take a second to answer: neither a baseline nor the end of a run waits for it.
        """
        factory = self._factory_of(copy)
        if not factory.measured:
            containers = list(copy.stack.containers.values())
            threading.Thread(
                target=_measure, args=(factory, containers), name="dockwright-measure", daemon=True
            ).start()

    def reset(self, copy: Copy) -> Exception | None:
        """Bring a copy back to its baseline."""
        thorough, copy.disturbed = copy.disturbed, False

        def reset() -> None:
            with self._notes.resetting(copy):
                copy.baseline.reset(thorough=thorough)

        return _attempt(reset)

    def discard(self, copy: Copy) -> None:
        """Remove a copy; what cannot be removed bears our labels: the reaper takes it later."""
        failure = _attempt(partial(self._remove, copy))
        if failure is not None:
            _log.warning("could not remove %s: %s", copy.stack.identity.project, failure)

    def remove_all(self, copies: Sequence[Copy]) -> None:
        """Remove copies at once.

        Raises:
            CleanupError: something could not be removed; everything else was.
        """
        with ThreadPoolExecutor(max(1, len(copies))) as workers:
            jobs = [workers.submit(_attempt, partial(self._remove, copy)) for copy in copies]
        failures = [failure for job in jobs if (failure := job.result())]
        if failures:
            raise CleanupError(
                "could not remove every stack:\n  "
                + "\n  ".join(_all_reasons(failure) for failure in failures),
                hint="run `dockwright clean` to try again",
            ) from ExceptionGroup("removals that failed", failures)

    def _remove(self, copy: Copy) -> None:
        with self._notes.removing(copy):
            failure = _attempt(copy.baseline.close)
            if failure is not None:
                _log.warning("what resets held open is not closed: %s", explained(failure))
            _persistently(copy.stack.remove)
        self._factory_of(copy).discard(copy.stack)


def _all_reasons(failure: BaseException) -> str:
    """Return why something was not removed; of several removals, why each was not."""
    if isinstance(failure, BaseExceptionGroup):
        return "\n  ".join(map(_all_reasons, failure.exceptions))
    return explained(failure)


def _measure(factory: Factory, containers: Iterable[str]) -> None:
    def measure() -> None:
        factory.measured = measured_bytes(factory.engine, containers)

    failure = _attempt(measure)
    if failure is not None:  # most of all: the copy was removed meanwhile
        _log.debug("could not measure a copy of %s: %s", factory.name, failure)


def _persistently(remove: Callable[[], None]) -> None:
    """Remove something, also where a busy engine needs some more time.

    A container whose removal is under way still holds its networks and volumes for a moment, and
    a loaded engine may miss a deadline: nobody wants a run to fail for that.
    """
    deadline = time.monotonic() + _PERSISTENCE_S
    pauses = threading.Event()
    while (failure := _attempt(remove)) is not None:
        if time.monotonic() > deadline:
            raise failure
        _log.info("a removal is tried again: %s", explained(failure))
        pauses.wait(_PAUSE_S)


def _attempt(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as failure:  # noqa: BLE001 - whatever it is, the waiters must hear of it
        return failure
    return None


_ACTIONS = ("die", "oom", "pause", "start", "destroy", "health_status: unhealthy")
_LOOK_S = 1.0  # how soon the watching thread notices that it is to end


class DisturbanceWatch:
    """Tells of containers to which something happened.

    Args:
        engine: whose events are listened to.
        on_event: called, in the watch's thread, with the container's id; None: some may have been
            missed, every container is in doubt.
    """

    def __init__(self, engine: Engine, on_event: Callable[[str | None], None]) -> None:
        self._on_event = on_event
        self._closed = threading.Event()
        self._subscription = engine.events.subscribe(actions=_ACTIONS)
        self._thread = threading.Thread(
            target=self._listen, name="dockwright-disturbance", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the watch."""
        self._closed.set()
        self._subscription.close()
        self._subscription.interrupt()
        self._thread.join(timeout=2 * _LOOK_S)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                event = self._subscription.get(_LOOK_S)
            except EngineError as failure:
                _log.warning("the engine's events are not to be had: %s", failure)
                return
            if self._subscription.lost:
                self._on_event(None)
            if event is not None:
                self._on_event(event.id)


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool did so far, and what it holds now.

    Attributes:
        started: stacks that became ready.
        resets: dirty stacks that came back clean.
        replaced: stacks that were given up because a reset failed.
        leases: leases that were given.
        engine_calls: calls that were made to the engine.
        stacks: for each stack that exists: its project name, stack, state and holders.
    """

    started: int
    resets: int
    replaced: int
    leases: int
    engine_calls: int
    stacks: tuple[Mapping[str, Json], ...] = ()


class Teller:
    """Tells counts once."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()

    def news(self, now: PoolStatistics) -> dict[str, int]:
        """Return by how much each count has grown since the last call."""
        names = ("started", "resets", "replaced", "leases", "engine_calls")
        totals = Counter({name: getattr(now, name) for name in names})
        news = {name: totals[name] - self._told[name] for name in names}
        self._told = totals
        return news


_KEEPING_S = 2.0  # what is kept saves about as much of every later run
_CALLED_OFF_S = 0.5  # how long what is called off may take to end by itself
_BACKSTOP_S = 1.0  # waiters are notified; they look for themselves this often all the same


class Pool:
    """Starts, leases, resets and removes stacks.

    Args:
        engine: where the stacks run.
        max_stacks: how many stacks may exist at once; 0: as many as pay off and memory allows.
        notes: takes the time of starts, waits, leases, resets and removals.
    """

    def __init__(self, engine: Engine, *, max_stacks: int, notes: Notes) -> None:
        self._engine = engine
        self._notes = notes
        self._changed = threading.Condition()
        self._failures: dict[str, Exception] = {}
        self._declared: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._teller = Teller()
        self._closed = False
        self._closed_s = math.inf
        self._workers = ThreadPoolExecutor(32, thread_name_prefix="dockwright-pool")
        self._jobs: set[Future[None]] = set()
        self._upkeep = Upkeep(lambda copy: self._holdings.factories[copy.key], notes)
        self._holdings = Holdings(
            max_stacks,
            start=self._begin,
            discard=lambda copy: self._do(self._upkeep.discard, copy),
        )
        self._watch = DisturbanceWatch(engine, self._disturbed)

    # -- what is declared --------------------------------------------------------------------

    def declares(self, key: str) -> bool:
        """Tell whether a stack of this key is known."""
        with self._changed:
            return key in self._holdings.factories

    def declare(self, key: str, factory: Factory, *, run: str = "") -> None:
        """Make a stack known; nothing is started, no-op where the run has done so.

        Args:
            key: what it is known by; another one of the same name is another version of it.
            factory: makes its copies.
            run: who declares it; another run than before may ask again for what failed to start.
        """
        with self._changed:
            if (key, run) in self._declared and key in self._holdings.factories:
                return
            self._declared.add((key, run))
            self._failures.pop(key, None)
            if key not in self._holdings.factories:
                self._holdings.declare(key, factory)
            self._holdings.supersede(key)

    def prepare(self, key: str, *, exclusive: int = 0) -> None:
        """Start a stack in the background, if none of that key exists: it will be needed.

        Args:
            key: which declared stack.
            exclusive: how many exclusive leases the caller will ask for.
        """
        with self._changed:
            self._check_open()
            self._check_declared(key)
            self._holdings.pace[key].coming_exclusive += exclusive
            if not self._holdings.of(key):
                self._holdings.grow(key)

    # -- leases ------------------------------------------------------------------------------

    def acquire(
        self,
        requirement: Requirement,
        *,
        timeout_s: float,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Lease:
        """Wait for a stack that meets the requirement, and lease it.

        A lease that is `seeding` is for the suite's seed alone: end it by `seeded` and ask again.

        Args:
            requirement: what is asked for; its `stack` is a declared key.
            timeout_s: how long to wait, in seconds.
            abandoned: tells that nobody wants the stack any more; looked at after each `wake`.

        Raises:
            UnknownServiceError: no stack of that name is declared.
            DockwrightError: the stack cannot be started: what its start failed with.
            LeaseError: none became free within `timeout_s`; tells what the pool is doing.
            PoolClosedError: the pool was closed, or the wait was abandoned.
        """
        waiter = Waiter(requirement.stack, requirement.exclusive, client_of(requirement.holder))
        with self._changed:
            self._check_declared(requirement.stack)
            self._holdings.waiters.append(waiter)
            try:
                copy = self._wait_for_copy(requirement, waiter, timeout_s, abandoned)
            finally:
                self._holdings.waiters.remove(waiter)
            if copy.state is State.UNSEEDED:
                copy.become(State.SEEDING)
                copy.holders.add(requirement.holder)
                return _lease(requirement, copy, 0.0, seeding=True)
            copy.enter(requirement.holder, exclusive=requirement.exclusive)
            self._counts["leases"] += 1
            if requirement.exclusive:
                self._holdings.pace[requirement.stack].note_lease()
                self._holdings.keep_spares(requirement.stack)
        return _lease(requirement, copy, time.monotonic() - waiter.since_s)

    def release(self, lease: Lease, *, keep: bool = False) -> None:
        """End a lease. An exclusively leased stack is reset in the background.

        Args:
            lease: what `acquire` returned; releasing it twice is a no-op.
            keep: leave the stack as it is, for a person to look at; the pool forgets it.
        """
        lease.leased.close()
        with self._changed:
            copy = self._holdings.copy_of(lease.stack)
            if copy is None or lease.requirement.holder not in copy.holders:
                return
            if copy.state is State.SEEDING:  # its client died of it: nobody knows how far it came
                self._holdings.evict(copy)
                self._changed.notify_all()
                return
            self._notes.released(lease)
            if lease.requirement.exclusive:
                self._holdings.pace[copy.key].note_hold(time.monotonic() - copy.since_s)
            copy.leave(lease.requirement.holder)
            if keep:
                copy.become(State.KEPT)
                self._holdings.copies.remove(copy)
            elif copy.state is State.RESETTING and not self._closed:
                self._do(self._reset, copy)
            self._changed.notify_all()

    def seeded(self, lease: Lease, failure: Exception | None) -> None:
        """End the seeding of a stack: its baseline is captured in the background.

        Args:
            lease: one that `acquire` returned as `seeding`.
            failure: why it could not be seeded; everybody who waits for such a stack gets it.
        """
        lease.leased.close()
        with self._changed:
            copy = self._holdings.copy_of(lease.stack)
            if copy is None or self._closed:
                return
            self._holdings.pace[copy.key].seed_s = time.monotonic() - copy.since_s
            copy.holders.clear()
            copy.become(State.STARTING)
            self._do(self._complete, copy, failure)

    def wake(self) -> None:
        """Let every waiter look whether it was abandoned."""
        with self._changed:
            self._changed.notify_all()

    def drain(self) -> None:
        """Remove the clean stacks that nobody uses, in the background."""
        with self._changed:
            for copy in [each for each in self._holdings.copies if each.idle]:
                self._holdings.evict(copy)

    def rest(self) -> None:
        """Use a time in which nobody wants a stack: start spares, which hide resets."""
        with self._changed:
            if not self._closed:
                self._holdings.rest()

    def abandon_starts(self) -> None:
        """Call off the starts whose last client has left, and remove what they have made.

        A spare goes on: there is a copy that works, and the next run has use for another.
        """
        with self._changed:
            for copy in [each for each in self._holdings.copies if each.state is State.STARTING]:
                others = self._holdings.of(copy.key)
                if all(each.state is State.STARTING for each in others):
                    copy.stack.cancel()
                    self._do(self._upkeep.discard, copy)

    def close(self) -> None:
        """Remove every stack and end the pool's threads; nothing can be leased any more.

        Raises:
            CleanupError: something could not be removed; everything else was.
        """
        with self._changed:
            if self._closed:
                return
            self._closed, self._closed_s = True, time.monotonic()
            copies = list(self._holdings.copies)
            self._changed.notify_all()
        self._watch.close()
        for copy in copies:
            copy.stack.cancel()
        if wait(list(self._jobs), timeout=_CALLED_OFF_S).not_done:
            # Something hangs that a cancelled start or reset does not end: the containers go all
            # the same, and mostly it ends with them.
            with suppress(CleanupError):
                self._upkeep.remove_all(copies)
        self._workers.shutdown(wait=True)
        self._upkeep.remove_all(copies)

    def statistics(self) -> PoolStatistics:
        """Return what the pool did so far, and what it holds now."""
        with self._changed:
            return PoolStatistics(
                started=self._counts["started"],
                resets=self._counts["resets"],
                replaced=self._counts["replaced"],
                leases=self._counts["leases"],
                engine_calls=self._engine.statistics().calls,
                stacks=tuple(described(copy) for copy in self._holdings.copies),
            )

    def living(self) -> list[RunningCopy]:
        """Return the containers and processes of the copies that exist now."""
        with self._changed:
            return [living(copy) for copy in self._holdings.copies]

    def drain_counts(self) -> dict[str, int]:
        """Return the counts since the last call, so that each is told once."""
        now = self.statistics()
        with self._changed:
            return self._teller.news(now)

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
            mine = self._holdings.of(requirement.stack)
            wanted = self._holdings.copies_wanted(waiter.key) if waiter.exclusive else 1
            copy = choose(mine, waiter, self._holdings.waiters) or to_seed(mine, wanted=wanted)
            if copy is not None:
                return copy
            self._holdings.grow_if_needed(waiter)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                sole = self._holdings.factories[requirement.stack].sole
                raise still_taken(requirement, mine, sole)
            self._changed.wait(min(remaining, _BACKSTOP_S))

    def _check_open(self) -> None:
        if self._closed:
            raise PoolClosedError("the pool of stacks is closed: the session has ended")

    def _check_declared(self, key: str) -> None:
        if key not in self._holdings.factories:
            raise UnknownServiceError(
                f"no stack {key!r} is declared",
                hint=f"the stacks are: {', '.join(sorted(self._holdings.factories)) or 'none'}",
            )

    def _disturbed(self, container: str | None) -> None:
        """Note what happened to a container without our doing; a clean copy is looked at anew."""
        with self._changed:
            for copy in list(self._holdings.copies):
                leased_or_clean = not copy.coming
                if leased_or_clean and container in (None, *copy.stack.containers.values()):
                    copy.disturbed = True
                    if copy.state is State.UNSEEDED:
                        self._holdings.evict(copy)
                    if copy.state is State.CLEAN and not self._closed:
                        copy.become(State.RESETTING)
                        self._do(self._reset, copy)

    # -- work (in the pool's threads) --------------------------------------------------------

    def _do(self, work: Callable[..., None], *arguments: object) -> None:
        """Have something done in one of the pool's threads."""
        job = self._workers.submit(work, *arguments)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _begin(self, copy: Copy) -> None:
        self._notes.made(copy)
        self._do(self._start, copy)

    def _start(self, copy: Copy) -> None:
        for former in copy.former:
            self._upkeep.discard(former)
        began = time.monotonic()
        failure = self._upkeep.start(copy)
        if failure is None:
            self._holdings.pace[copy.key].note_start(time.monotonic() - began)
        if failure is not None or not self._upkeep.awaits_seed(copy):
            self._complete(copy, failure)
            return
        with self._changed:
            copy.become(State.UNSEEDED)
            self._changed.notify_all()
        if not self._holdings.factories[copy.key].keeps_seed:
            self._upkeep.keep(copy, wanted=self._has_time)

    def _complete(self, copy: Copy, failure: Exception | None) -> None:
        """Capture the baseline of a copy that is started, and seeded: now it can be leased."""
        failure = failure or self._upkeep.complete(copy)
        self._notes.usable(copy)
        with self._changed:
            if failure is None:
                copy.become(State.CLEAN)
                self._counts["started"] += 1
            else:
                self._holdings.copies.remove(copy)
                self._note_failed_start(copy, failure)
            self._changed.notify_all()
        if failure is not None:
            self._upkeep.discard(copy)
        elif not self._closed:  # nobody waits for this: it has time
            self._upkeep.measure(copy)
        if self._holdings.factories[copy.key].keeps_seed:
            self._upkeep.keep(copy, wanted=lambda: failure is None and self._has_time())

    def _has_time(self) -> bool:
        """Tell whether a baseline may still be kept: the last run of a short suite waits for it."""
        return time.monotonic() < self._closed_s + _KEEPING_S

    def _note_failed_start(self, copy: Copy, failure: Exception) -> None:
        if self._holdings.of(copy.key):  # it was a spare: there is one that works
            self._holdings.pace[copy.key].start_s = None
            if not self._closed:
                project = copy.stack.identity.project
                _log.warning("could not start %s beside another one: %s", project, failure)
        elif not copy.stack.cancelled:
            self._failures[copy.key] = failure

    def _reset(self, copy: Copy) -> None:
        began = time.monotonic()
        failure = self._upkeep.reset(copy)
        sole = bool(self._holdings.factories[copy.key].sole)
        if failure is not None and sole:  # its successor needs what it has
            self._upkeep.discard(copy)
        with self._changed:
            if failure is None:
                copy.become(State.CLEAN)
                self._holdings.pace[copy.key].note_reset(time.monotonic() - began)
                self._counts["resets"] += 1
            else:
                self._holdings.copies.remove(copy)
                self._counts["replaced"] += not self._closed
            self._changed.notify_all()
        if failure is not None and not self._closed:
            project = copy.stack.identity.project
            _log.warning("reset of %s failed, it is replaced: %s", project, failure)
            if not sole:
                self._upkeep.discard(copy)


def _lease(
    requirement: Requirement, copy: Copy, waited_s: float, *, seeding: bool = False
) -> Lease:
    return Lease(
        requirement, LeaseInfo.of(copy.stack), lambda: copy.stack, waited_s, seeding=seeding
    )
