"""The work on one copy: start, baseline, reset, check and removal; and what others do to copies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dockwright.engine import Engine
from dockwright.errors import CleanupError, EngineError, StackBrokenError, explained
from dockwright.model import Trace
from dockwright.pool.copies import Copy
from dockwright.pool.factory import Factory, measured
from dockwright.pool.timeline import PoolTimeline

_log = logging.getLogger(__name__)

_PERSISTENCE_S = 5.0  # how long a failing removal is retried
_PAUSE_S = 0.25

_ACTIONS = ("die", "oom", "pause", "start", "destroy", "health_status: unhealthy")
_LOOK_S = 1.0  # how soon the watching thread notices that it should end


class OutsideChangeWatch:
    """Reports containers that were changed by somebody else, or by their own end.

    Args:
        engine: its events are watched.
        on_event: called in the watch's thread with the container's id; None: events may have been
            missed, so any container may have changed.
    """

    def __init__(self, engine: Engine, on_event: Callable[[str | None], None]) -> None:
        self._on_event = on_event
        self._closed = threading.Event()
        self._subscription = engine.events.subscribe(actions=_ACTIONS)
        self._thread = threading.Thread(
            target=self._listen, name="dockwright-outside-changes", daemon=True
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
                _log.warning("cannot read the engine's events: %s", failure)
                return
            if self._subscription.lost:
                self._on_event(None)
            if event is not None:
                self._on_event(event.id)


class Maintenance:
    """Starts, resets and removes one copy at a time, in the caller's thread.

    Args:
        factory_of: returns the factory of a copy.
        timeline: records how long that takes.
    """

    def __init__(self, factory_of: Callable[[Copy], Factory], timeline: PoolTimeline) -> None:
        self._factory_of = factory_of
        self._timeline = timeline

    def start(self, copy: Copy) -> Exception | None:
        """Start a copy, from a cached baseline if there is one."""
        factory = self._factory_of(copy)
        first = copy.start = factory.start_of(copy.stack)

        def start() -> None:
            first.run(self._timeline.waits_of(copy))
            if not factory.keeps_seed:
                first.read()

        return _attempt(start)

    def awaits_seed(self, copy: Copy) -> bool:
        """Return whether a started copy has to be seeded."""
        return copy.start is not None and self._factory_of(copy).awaits_seed(copy.start)

    def complete(self, copy: Copy) -> Exception | None:
        """Capture the baseline of a copy that is started, and seeded if it has to be."""

        def complete() -> None:
            if copy.start is not None and self._factory_of(copy).keeps_seed:
                # Read before strategies add to the volumes what belongs to this copy alone.
                copy.start.read()
            copy.baseline.capture()

        return _attempt(complete)

    def keep(self, copy: Copy, *, wanted: Callable[[], bool]) -> None:
        """Keep for later runs what was read from a copy, which may be in use meanwhile."""
        if copy.start is not None:
            copy.start.keep(wanted=wanted)

    def measure(self, copy: Copy) -> None:
        """Measure in the background what a copy that was just started takes, once for each stack.

        Older engines take a second to answer; neither a baseline nor the end of a run waits for it.
        """
        factory = self._factory_of(copy)
        if not factory.measured:
            containers = list(copy.stack.containers.values())
            took_s = time.monotonic() - copy.made_s
            threading.Thread(
                target=_measure,
                args=(factory, containers, took_s),
                name="dockwright-measure",
                daemon=True,
            ).start()

    def reset(self, copy: Copy) -> Exception | None:
        """Bring a copy back to its baseline."""
        thorough, copy.changed_outside = copy.changed_outside, False

        def reset() -> None:
            with self._timeline.resetting(copy):
                copy.lost = copy.baseline.reset(thorough=thorough, repeatable=copy.repeatable)

        return _attempt(reset)

    def heal(self, copy: Copy) -> tuple[Sequence[Trace], Exception | None]:
        """Undo what tests did that shared a copy.

        Returns:
            What was undone, or else what could not be; and the failure, if it could not.
        """
        traces: list[Trace] = []
        failure = _attempt(lambda: traces.extend(copy.baseline.heal()))
        if isinstance(failure, StackBrokenError):
            what = f"cannot be undone: {failure.message}"
            traces.append(Trace("change", "", what, copy.stack.identity.ownership.stack))
        return traces, failure

    def audit(self, copy: Copy) -> tuple[Sequence[Trace], Exception | None]:
        """Look at what was done to a copy, and undo it if all its containers still run.

        Returns:
            As `heal`; a failure means that the copy has to be reset.
        """
        if self.is_intact(copy):
            return self.heal(copy)
        traces: list[Trace] = []
        failure = _attempt(lambda: traces.extend(copy.baseline.disturbed()))
        return traces, failure or StackBrokenError("its containers do not run as they did")

    def killed_for_memory(self, copy: Copy) -> bool:
        """Return whether the kernel killed a service of a copy because the host ran out of memory.

        A service that reached a limit of its own does not count.
        """
        engine, killed = copy.stack.engine, False
        for container in copy.stack.containers.values():
            try:
                found = engine.inspect_container(container)
            except EngineError:  # it was removed
                continue
            state, limit = found["State"], found["HostConfig"].get("Memory")
            killed |= bool(state.get("OOMKilled") and not state.get("Running") and not limit)
        return killed

    def renew(self, copy: Copy) -> Exception | None:
        """Give new containers to the services in doubt."""

        def renew() -> None:
            with self._timeline.resetting(copy):
                copy.lost = (*(copy.lost or ()), *copy.baseline.renew())

        return _attempt(renew)

    def is_intact(self, copy: Copy) -> bool:
        """Return whether the containers of a copy still run as at its baseline."""
        try:
            return copy.baseline.intact()
        except Exception as failure:  # noqa: BLE001 - a reset finds out what is wrong
            _log.info("could not look at %s: %s", copy.stack.identity.project, explained(failure))
            return False

    def discard(self, copy: Copy) -> None:
        """Remove a copy; the reaper finds by its labels what cannot be removed now."""
        failure = _attempt(partial(self._remove, copy))
        if failure is not None:
            _log.warning("could not remove %s: %s", copy.stack.identity.project, failure)

    def remove_all(self, copies: Sequence[Copy]) -> None:
        """Remove copies in parallel.

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
        with self._timeline.removing(copy):
            failure = _attempt(copy.baseline.close)
            if failure is not None:
                _log.warning("what resets held open is not closed: %s", explained(failure))
            _persistently(copy.stack.remove)
        self._factory_of(copy).discard(copy.stack)


def _all_reasons(failure: BaseException) -> str:
    """Return why something was not removed; for several removals, all reasons."""
    if isinstance(failure, BaseExceptionGroup):
        return "\n  ".join(map(_all_reasons, failure.exceptions))
    return explained(failure)


def _measure(factory: Factory, containers: Iterable[str], took_s: float) -> None:
    def measure() -> None:
        memory, cpu_s = measured(factory.engine, containers)
        factory.measured = max(memory, factory.options.peak_of(factory.name))
        factory.busy = cpu_s / took_s

    failure = _attempt(measure)
    if failure is not None:  # usually because the copy was removed meanwhile
        _log.debug("could not measure a copy of %s: %s", factory.name, failure)


def _persistently(remove: Callable[[], None]) -> None:
    """Remove something, with retries while the engine is busy.

    A container that is being removed still holds its networks and volumes for a moment, and a
    loaded engine may miss a deadline. A run should not fail for that.
    """
    deadline = time.monotonic() + _PERSISTENCE_S
    pauses = threading.Event()
    while (failure := _attempt(remove)) is not None:
        if time.monotonic() > deadline:
            raise failure
        _log.info("retrying a removal: %s", explained(failure))
        pauses.wait(_PAUSE_S)


def _attempt(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as failure:  # noqa: BLE001 - whatever it is, the waiters have to get it
        return failure
    return None
