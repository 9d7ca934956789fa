"""Start a stack in the order of its dependencies, and wait until all is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from dockwright.errors import (
    DockwrightError,
    EngineError,
    StackError,
    WaitCancelledError,
    WaitError,
)
from dockwright.model import Address, Dependency, DependencyCondition
from dockwright.stack.graph import Graph
from dockwright.stack.native import fill
from dockwright.stack.view import StackView
from dockwright.wait import (
    AnyOf,
    Cadence,
    CancelToken,
    ContainerTarget,
    Exited,
    Healthy,
    Listening,
    ProcessTarget,
    Running,
    Target,
    WaitCondition,
    WaitOptions,
    parse_ready,
    wait_for,
)

UnitState: TypeAlias = Literal["image", "create", "start", "wait", "ready", "failed", "called off"]


@dataclass(frozen=True, slots=True)
class UnitEvent:
    """One unit (service or native process) reached a state.

    Attributes:
        unit: its name.
        state: what it does now.
        elapsed_s: seconds since the start of the whole stack.
        message: more for the user, e.g. pull progress.
    """

    unit: str
    state: UnitState
    elapsed_s: float
    message: str = ""


Listener: TypeAlias = Callable[[UnitEvent], None]


def ignore(event: UnitEvent) -> None:
    """Ignore an event: the default listener."""
    del event


class StartProgress:
    """Reports what the units of one start do, from many threads.

    Args:
        listener: called with each event.
    """

    def __init__(self, listener: Listener = ignore) -> None:
        self._listener = listener
        self._began = time.monotonic()

    def report(self, unit: str, state: UnitState, message: str = "") -> None:
        """Report that a unit reached a state, now."""
        self._listener(UnitEvent(unit, state, time.monotonic() - self._began, message))


_SIGNAL_S = 0.2  # an endless wait may miss a signal that arrives just before it begins


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
        graph: which unit waits for which.
        units: what to start, by name.
        cancel: set by the launch when a unit fails, so that the waits of the others end at once.
        progress: reports what happens.
    """

    def __init__(
        self,
        graph: Graph,
        units: Iterable[Unit],
        *,
        cancel: CancelToken,
        progress: StartProgress,
    ) -> None:
        self._graph = graph
        self._units = {unit.name: unit for unit in units}
        self._cancel = cancel
        self._progress = progress
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
            self._progress.report(unit.name, "start")
            unit.start()
            self._reach(unit, "service_started")
            self._progress.report(unit.name, "wait")
            self._finish(unit)
            self._progress.report(unit.name, "ready")
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
        self._progress.report(unit.name, "called off" if called_off else "failed", message)
        self._cancel.cancel(f"{unit.name} failed")
        for (name, _), milestone in self._milestones.items():
            if name == unit.name and not milestone.done():
                milestone.set_exception(failure)


class Units:
    """Makes the units of one stack for one launch.

    Args:
        stack: whose units.
        timeout_s: how long one may take to become ready, in seconds.
        cadence: how waits poll.
        cancel: ends the waits.
        start_container: starts the container of a service.
    """

    def __init__(
        self,
        stack: StackView,
        *,
        timeout_s: float,
        cadence: Cadence,
        cancel: CancelToken,
        start_container: Callable[[str], None],
    ) -> None:
        self._container_starter = start_container
        self._stack = stack
        self._timeout_s = timeout_s
        self._options = WaitOptions(cadence=cadence, cancel=cancel)

    def unit(self, name: str) -> Unit:
        """Return the unit called `name`."""
        if name in self._stack.processes:
            return self._process(name)
        return self._service(name)

    def _service(self, name: str) -> Unit:
        return Unit(
            name,
            start=partial(self._start_container, name),
            wait_ready=partial(self._await_container, name, self._readiness(name)),
            wait_completed=partial(self._await_container, name, Exited(0)),
        )

    def _process(self, name: str) -> Unit:
        spec = self._stack.processes[name].spec
        return Unit(
            name,
            start=partial(self._start_process, name),
            wait_ready=lambda: self._await_process(
                name, self._process_readiness(name), spec.ready_timeout_s
            ),
            wait_completed=lambda: self._await_process(name, Exited(0), self._timeout_s),
        )

    def _readiness(self, name: str) -> WaitCondition:
        spec = self._stack.spec.services[name]
        if spec.ready:
            return parse_ready(spec.ready, f"services.{name}.x-dockwright.ready")
        if spec.healthcheck is not None:
            return Healthy()
        # Nothing declares when it is ready; a job that has done its work already is fine as well.
        ports = {port.number for port in spec.declared_ports if port.protocol == "tcp"}
        options = self._stack.options
        listening = Listening(
            tuple(sorted(ports)), options.silent_ports, patience_s=options.listen_timeout_s
        )
        usable = listening if spec.healthcheck_disabled else Healthy(otherwise=listening)
        return AnyOf((usable, Exited(0)), "to be ready")

    def _process_readiness(self, name: str) -> WaitCondition:
        spec = self._stack.processes[name].spec
        if not spec.ready:
            return Running()
        where, lookup = f"x-dockwright.processes.{name}.ready", partial(self._lookup, name)
        filled = {
            key: fill(value, where, lookup) if isinstance(value, str) else value
            for key, value in spec.ready.items()
        }
        return parse_ready(filled, where)

    def _start_container(self, name: str) -> None:
        try:
            self._container_starter(name)
        except EngineError as exc:  # it names the container by its id
            raise type(exc)(f"service {name}: {exc.message}", hint=exc.hint) from exc

    def _await_container(self, name: str, strategy: WaitCondition) -> None:
        target = ContainerTarget(
            self._stack.engine,
            self._stack.container(name),
            name=name,
            address_of=partial(self._stack.address, name),
        )
        self._await(target, strategy, self._timeout_s, hint=self._hint(name))

    def _hint(self, name: str) -> str | None:
        """Return what to do if a service without a health check does not get ready in time."""
        spec = self._stack.spec.services[name]
        said = spec.ready or spec.healthcheck is not None or not spec.declared_ports
        if said or self._stack.options.listen_timeout_s is not None:
            return None
        return (
            f"declare a health check for {name} or `x-dockwright: {{ready: running}}`, declare "
            "only ports that it serves, or go on without them: dockwright_listen_timeout = 10s"
        )

    def _start_process(self, name: str) -> None:
        process = self._stack.processes[name]
        if process.running:
            return
        where, lookup = f"x-dockwright.processes.{name}", partial(self._lookup, name)
        command = [fill(text, f"{where}.command", lookup) for text in process.spec.command]
        environment = {
            key: fill(value, f"{where}.environment.{key}", lookup)
            for key, value in process.spec.environment.items()
        }
        process.start(command, environment)

    def _lookup(self, name: str, unit: str, port: int | None) -> Address:
        """Return the address of a unit for a template of the process `name`."""
        unit = name if unit == "self" else unit
        self._stack.known([unit])
        if port is None:
            return Address(self._stack.addresses.host(unit), 0)
        return self._stack.addresses.of(unit, port)

    def _await_process(self, name: str, strategy: WaitCondition, timeout_s: float) -> None:
        process = self._stack.processes[name]
        child = process.child
        if child is None:  # an earlier command started it and saw it ready
            return
        target = ProcessTarget(
            child,
            name,
            log_file=process.log,
            address_of=partial(self._stack.address, name),
            cwd=process.spec.cwd,
        )
        self._await(target, strategy, timeout_s)

    def _await(
        self,
        target: Target,
        strategy: WaitCondition,
        timeout_s: float,
        *,
        hint: str | None = None,
    ) -> None:
        try:
            wait_for(target, strategy, timeout_s=timeout_s, options=self._options)
        except WaitCancelledError:
            raise  # another unit's failure explains it
        except WaitError as failure:
            project = self._stack.identity.project
            raise StackError(
                f"stack {self._stack.spec.name} ({project}): {failure.message}",
                hint=failure.hint or hint,
            ) from failure
