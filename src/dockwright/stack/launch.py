"""Starts units, each as soon as its own dependencies hold, and waits until all are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dockwright.errors import DockwrightError, StackError, WaitCancelledError
from dockwright.model import Dependency, DependencyCondition
from dockwright.stack.order import Graph
from dockwright.stack.progress import Listener, Stopwatch, UnitEvent, UnitState
from dockwright.wait import CancelToken

_SIGNAL_S = 0.2  # a wait without end may miss a signal that arrives just before it begins


class DependencyFailedError(StackError):
    """A unit was not started because one that it depends on failed; that one has its own error."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What the launch may do with one service or native process.

    Attributes:
        name: its name.
        start: starts it; returns once it runs.
        wait_ready: blocks until it is ready; no-op where nothing is declared.
        wait_completed: blocks until it has exited with 0.
    """

    name: str
    start: Callable[[], None]
    wait_ready: Callable[[], None]
    wait_completed: Callable[[], None]


class Launch:
    """One start of some units of a stack.

    Args:
        graph: who waits for whom.
        units: what to start, by name.
        cancel: set by the launch when a unit fails, so that the waits of the others end at once.
        listener: is told what happens.
        stopwatch: splits the time into starting and waiting.
    """

    def __init__(
        self,
        graph: Graph,
        units: Iterable[Unit],
        *,
        cancel: CancelToken,
        listener: Listener,
        stopwatch: Stopwatch,
    ) -> None:
        self._graph = graph
        self._units = {unit.name: unit for unit in units}
        self._cancel = cancel
        self._listener = listener
        self._stopwatch = stopwatch
        self._milestones: dict[tuple[str, DependencyCondition], Future[None]] = {
            (name, condition): Future()
            for name in self._units
            for condition in (
                "service_started",
                "service_healthy",
                "service_completed_successfully",
            )
        }

    def run(self) -> None:
        """Start everything and return when everything is ready.

        Raises:
            StackError: a unit failed; the message says which, why, and its last log lines.
        """
        if not self._units:
            return
        with ThreadPoolExecutor(len(self._units), thread_name_prefix="dockwright-launch") as pool:
            jobs = [pool.submit(self._unit, unit) for unit in self._units.values()]
            try:
                while wait(jobs, timeout=_SIGNAL_S).not_done:
                    pass
            except BaseException:  # Ctrl-C: end the waits of the threads, then let it pass
                self._cancel.cancel("the start was interrupted")
                raise
        self._raise_failures(jobs)

    def _raise_failures(self, jobs: list[Future[None]]) -> None:
        failures = [failure for job in jobs if (failure := job.exception())]
        # One failure ends the other waits and starts; those explain nothing.
        causes = [
            failure
            for failure in failures
            if not isinstance(failure, DependencyFailedError | WaitCancelledError)
        ]
        for failure in causes or failures:
            raise failure

    def _unit(self, unit: Unit) -> None:
        try:
            for dependency in self._graph.dependencies[unit.name]:
                self._await(unit, dependency)
            self._tell(unit, "start")
            with self._stopwatch.working():
                unit.start()
            self._reach(unit, "service_started")
            self._tell(unit, "wait")
            self._finish(unit)
            self._tell(unit, "ready")
        except BaseException as failure:
            self._fail(unit, failure)
            raise

    def _finish(self, unit: Unit) -> None:
        if self._graph.awaited_to_completion(unit.name):
            unit.wait_completed()
            self._reach(unit, "service_completed_successfully")
        else:
            unit.wait_ready()
        self._reach(unit, "service_healthy")

    def _await(self, unit: Unit, dependency: Dependency) -> None:
        milestone = self._milestones.get((dependency.service, dependency.condition))
        if milestone is None:  # it is not part of this launch: it runs already
            return
        failure = milestone.exception()
        if failure is not None and dependency.required:
            raise DependencyFailedError(
                f"{unit.name} was not started: it depends on {dependency.service}, which failed"
            ) from failure

    def _reach(self, unit: Unit, condition: DependencyCondition) -> None:
        self._milestones[unit.name, condition].set_result(None)

    def _fail(self, unit: Unit, failure: BaseException) -> None:
        # It did not fail itself where another one's failure, or Ctrl-C, ended it.
        called_off = isinstance(failure, DependencyFailedError | WaitCancelledError)
        message = str(failure) if isinstance(failure, DockwrightError) else ""
        self._tell(unit, "called off" if called_off else "failed", message)
        self._cancel.cancel(f"{unit.name} failed")
        for (name, _), milestone in self._milestones.items():
            if name == unit.name and not milestone.done():
                milestone.set_exception(failure)

    def _tell(self, unit: Unit, state: UnitState, message: str = "") -> None:
        self._listener(UnitEvent(unit.name, state, self._stopwatch.elapsed_s, message))
