"""What starting and awaiting one unit means: a service's container, or a native process."""

from __future__ import annotations

from functools import partial

from dockwright.errors import EngineError, StackError, WaitCancelledError, WaitError
from dockwright.model import Address
from dockwright.stack.body import declared_ports
from dockwright.stack.launch import Unit
from dockwright.stack.templates import fill
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
    Strategy,
    Target,
    WaitOptions,
    parse_ready,
    wait_for,
)


class Units:
    """Makes the units of one stack for one launch.

    Args:
        stack: whose units.
        timeout_s: how long one may take to become ready, in seconds.
        cadence: how waits poll.
        cancel: ends the waits.
    """

    def __init__(
        self, stack: StackView, *, timeout_s: float, cadence: Cadence, cancel: CancelToken
    ) -> None:
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

    def _readiness(self, name: str) -> Strategy:
        spec = self._stack.spec.services[name]
        if spec.ready:
            return parse_ready(spec.ready, f"services.{name}.x-dockwright.ready")
        if spec.healthcheck is not None:
            return Healthy()
        # Nothing declares when it is ready; a job that has done its work already is fine as well.
        listening = Listening(declared_ports(spec), self._stack.options.silent_ports)
        usable = listening if spec.healthcheck_disabled else Healthy(otherwise=listening)
        return AnyOf((usable, Exited(0)), "to be ready")

    def _process_readiness(self, name: str) -> Strategy:
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
            self._stack.engine.start_container(self._stack.container(name))
        except EngineError as exc:  # it names the container by its id
            raise type(exc)(f"service {name}: {exc.message}", hint=exc.hint) from exc
        self._stack.addresses.forget(name)

    def _await_container(self, name: str, strategy: Strategy) -> None:
        target = ContainerTarget(
            self._stack.engine,
            self._stack.container(name),
            name=name,
            address_of=partial(self._stack.address, name),
        )
        self._await(target, strategy, self._timeout_s)

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

    def _await_process(self, name: str, strategy: Strategy, timeout_s: float) -> None:
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

    def _await(self, target: Target, strategy: Strategy, timeout_s: float) -> None:
        try:
            wait_for(target, strategy, timeout_s=timeout_s, options=self._options)
        except WaitCancelledError:
            raise  # another unit's failure explains it
        except WaitError as failure:
            project = self._stack.identity.project
            raise StackError(
                f"stack {self._stack.spec.name} ({project}): {failure.message}", hint=failure.hint
            ) from failure
