"""The slow work on copies: starting, completing, resetting and removing them.

It knows nothing of leases, and tells what went wrong instead of raising it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dockwright.errors import CleanupError, explained
from dockwright.pool.capacity import measured_bytes
from dockwright.pool.copies import Copy
from dockwright.pool.factory import Factory
from dockwright.pool.notes import Notes

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
