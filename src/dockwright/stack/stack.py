"""One copy of a stack: starts it, answers for it, stops it, removes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dockwright.engine import Engine, LogStream, batch
from dockwright.errors import (
    NoSuchObjectError,
    StackBrokenError,
    UnknownServiceError,
    WaitCancelledError,
)
from dockwright.model import Address, StackSpec
from dockwright.stack.addresses import Addresses
from dockwright.stack.body import stop_grace_s
from dockwright.stack.change import is_set_aside
from dockwright.stack.create import Creator, Existing
from dockwright.stack.identity import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity, config_hash
from dockwright.stack.images import Images, ReadyImage
from dockwright.stack.launch import Launch
from dockwright.stack.order import Graph, creation_waves, entangled
from dockwright.stack.process import NativeProcess, kill_processes, marked_processes
from dockwright.stack.progress import Listener, StartTimes, Stopwatch, UnitEvent
from dockwright.stack.units import Units
from dockwright.wait import Cadence, CancelToken

_REMOVED = "the stack is being removed"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command in a service's container gave."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a copy is run.

    Attributes:
        log_directory: where native processes write.
        ready_timeout_s: how long one unit may take to become ready, in seconds.
        images: shared by the stacks of one owner, so that an image is got once.
        cadence: how waits poll where no event tells.
    """

    log_directory: Path
    ready_timeout_s: float = 120.0
    images: Images | None = None
    cadence: Cadence = field(default_factory=Cadence)


def ignore(event: UnitEvent) -> None:
    """Be the listener of a start that nobody watches."""
    del event


class Stack:
    """One copy of a stack on an engine.

    Creating the object touches nothing; `start` creates what is missing and starts what does not
    run, `attach` finds what an earlier process left. Calls that change the stack come from one
    thread at a time; `cancel` may come from any.

    Args:
        spec: what it consists of.
        engine: where its containers run.
        identity: its project name and owner.
        options: how it is run.
    """

    def __init__(
        self, spec: StackSpec, engine: Engine, identity: Identity, options: StackOptions
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.identity = identity
        self.graph = Graph.of(spec)
        self.containers: dict[str, str] = {}
        prefix = options.log_directory / identity.project
        self.processes = {
            name: NativeProcess(
                each, identity, Path(f"{prefix}-{name}.log"), config_hash(spec, name)
            )
            for name, each in spec.processes.items()
        }
        self.addresses = Addresses(engine, self.containers, self.processes)
        self._images = options.images or Images(engine)
        self.log_directory = options.log_directory
        self._options = options
        self._cancel = CancelToken()
        self._closing = False
        self.ready_images: dict[str, ReadyImage] = {}
        self._creator = Creator(engine, spec, identity, self.addresses)

    # -- life --------------------------------------------------------------------------------

    def attach(self) -> Stack:
        """Find the containers and processes of this copy that exist already; return itself."""
        self.containers.clear()
        for found in self.engine.list_containers(self.identity.selector()):
            service = found["Labels"].get(COMPOSE_SERVICE)
            if service in self.spec.services and not is_set_aside(found["Names"][0]):
                self.containers[service] = found["Id"]
        self._find_processes()
        return self

    def adopt(
        self, containers: Mapping[str, str], networks: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Take over what another process knows of this copy: no call to the engine is made."""
        self.containers.clear()
        self.containers.update(containers)
        self.addresses.adopt(networks)
        self._find_processes()

    def start(
        self,
        units: Iterable[str] | None = None,
        *,
        listener: Listener = ignore,
        fill: Callable[[], None] | None = None,
    ) -> StartTimes:
        """Create what is missing, start everything in order, and wait until all is ready.

        Args:
            units: the services and processes to start, with what they depend on; None: all.
            listener: is told what happens, from several threads.
            fill: called when everything is created and before anything starts, to pour data into
                the volumes.

        Returns:
            Where the time went.

        Raises:
            DockwrightError: a unit failed. What was created stays; `remove` takes it away.
        """
        stopwatch = Stopwatch()
        names = self.graph.ordered() if units is None else self.known_with_dependencies(units)
        with stopwatch.working():
            self._create(names, listener, stopwatch)
            if fill is not None:
                fill()
        self._launch(names, listener, stopwatch)
        return stopwatch.times()

    def stop(self, units: Iterable[str] | None = None) -> None:
        """Stop units, dependents first, with the stop signal and grace that they declare."""
        for wave in reversed(self.graph.waves(self.known(units))):
            batch.run([partial(self._stop_unit, name) for name in wave])

    def restart(
        self, units: Iterable[str] | None = None, *, listener: Listener = ignore
    ) -> StartTimes:
        """Stop units, start them again, and wait until they are ready."""
        names = self.known(units)
        self.stop(names)
        stopwatch = Stopwatch()
        self._launch(self.graph.ordered(names), listener, stopwatch)
        return stopwatch.times()

    def kill(self, units: Iterable[str] | None = None) -> None:
        """Kill units at once, without their stop grace; what does not run stays as it is."""
        batch.run([partial(self._kill_unit, name) for name in self.known(units)])

    def launch(self, units: Iterable[str]) -> None:
        """Start exactly these existing units, in order, and wait until they are ready."""
        self._launch(self.graph.ordered(self.known(units)), ignore, Stopwatch())

    def revive(self) -> None:
        """Start every container that ought to run and does not, and wait until all are ready.

        Raises:
            StackBrokenError: a container is gone.
        """
        labels = {COMPOSE_PROJECT: self.identity.project}
        states = {each["Id"]: each["State"] for each in self.engine.list_containers(labels)}
        for name, container in self.containers.items():
            if container not in states:
                raise StackBrokenError(f"the container of {name} was removed")
            if states[container] == "paused":
                self.engine.unpause_container(container)
            self.addresses.forget(name)
        awaited = [name for name in self.containers if not self.graph.awaited_to_completion(name)]
        self.launch(awaited)

    def await_ready(self, unit: str) -> None:
        """Wait until a running unit is ready (again).

        Raises:
            StackError: it does not get ready in time, or it has exited.
        """
        self._units().unit(unit).wait_ready()

    def recreate(self, units: Iterable[str], *, fill: Callable[[str], None] | None = None) -> None:
        """Replace units by new containers with new, empty volumes; networks stay.

        Args:
            units: what to replace; with them go those that share a volume or a namespace.
            fill: called with each service's name before anything starts, to pour data into the
                volumes of its new container.
        """
        names = self.graph.ordered(entangled(self.spec, self.known(units)))
        batch.run([partial(self._remove_unit, name) for name in names])
        volumes = {volume for name in names for volume in self.volumes_of(name).values()}
        batch.run([partial(self.engine.remove_volume, volume) for volume in volumes])
        self._create(names, ignore, Stopwatch())
        if fill is not None:
            batch.run([partial(fill, name) for name in names if name in self.containers])
        self._launch(names, ignore, Stopwatch())

    def remove(self, *, volumes: bool = True) -> None:
        """Remove everything of this copy, at once, also what a failed start left half made.

        Never waits for a stop grace. External networks and volumes stay.

        Raises:
            EngineError: or an `ExceptionGroup` of them: something could not be removed.
        """
        self.cancel()
        labels = self.identity.selector()
        doomed = [found["Id"] for found in self.engine.list_containers(labels)]
        if self.processes:
            kill_processes(each.process for each in marked_processes(self.identity.project))
            for process in self.processes.values():
                process.kill()
                process.remove_log()
        batch.run([partial(self.engine.remove_container, container) for container in doomed])
        self.containers.clear()
        tasks = [
            partial(self.engine.remove_network, found["Id"])
            for found in self.engine.list_networks(labels)
        ]
        if volumes:
            tasks += [
                partial(self.engine.remove_volume, found["Name"])
                for found in self.engine.list_volumes(labels)
            ]
        batch.run(tasks)

    def cancel(self) -> None:
        """End a start that is under way in another thread, and all later ones, at once."""
        self._closing = True
        self._cancel.cancel(_REMOVED)

    # -- questions ---------------------------------------------------------------------------

    def known(self, units: Iterable[str] | None) -> list[str]:
        """Return `units` (None: all) after checking that the stack declares them.

        Raises:
            UnknownServiceError: one is not declared; lists those that are.
        """
        declared = list(self.graph.dependencies)
        names = declared if units is None else list(units)
        for name in names:
            if name not in declared:
                raise UnknownServiceError(
                    f"stack {self.spec.name}: no service {name!r}",
                    hint=f"the services are: {', '.join(declared)}",
                )
        return names

    def known_with_dependencies(self, units: Iterable[str]) -> list[str]:
        """Return `units` and all that they depend on, in start order."""
        return self.graph.with_dependencies(self.known(units))

    def container(self, service: str) -> str:
        """Return the id of a service's container.

        Raises:
            UnknownServiceError: no such service, or it is a native process.
            NoSuchObjectError: the service has no container now.
        """
        self.known([service])
        if service in self.processes:
            raise UnknownServiceError(
                f"{service} is a native process: it has no container",
                hint="this works on services only",
            )
        if service not in self.containers:
            raise NoSuchObjectError(
                f"service {service} of {self.identity.project} has no container",
                hint="start the stack first",
            )
        return self.containers[service]

    def container_name(self, service: str) -> str:
        """Return the name that a service's container has or will have."""
        return self._creator.names.container(service)

    def volumes_of(self, service: str) -> dict[str, str]:
        """Return the engine's names of the volumes that belong to this copy, by mount target."""
        if service not in self.spec.services:
            return {}
        return self._creator.volumes_of(self.spec.services[service], self.ready_images[service])

    def address(self, unit: str, port: int) -> Address:
        """Return the address that reaches the unit's own port `port` from this process."""
        self.known([unit])
        return self.addresses.of(unit, port)

    def exec(
        self,
        service: str,
        command: Sequence[str],
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> CommandResult:
        """Run a command in a service's container and return its output as text."""
        result = self.engine.exec(
            self.container(service), command, user=user, env=environment, timeout_s=timeout_s
        )
        return CommandResult(
            result.exit_code,
            result.stdout.decode(errors="replace"),
            result.stderr.decode(errors="replace"),
        )

    def last_lines(self, unit: str, count: int, *, since_s: float | None = None) -> list[str]:
        """Return the last `count` lines that a unit wrote, since a time (epoch) if given."""
        if unit in self.processes:
            return self.processes[unit].last_lines(count)
        with self.log_stream(unit, tail=count, since_s=since_s) as lines:
            return [line.text for line in lines]

    def log_stream(
        self,
        service: str,
        *,
        tail: int | None = None,
        since_s: float | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> LogStream:
        """Return the stream of what a service's container writes; close it when done."""
        return self.engine.logs(
            self.container(service),
            tail=tail,
            since=since_s,
            follow=follow,
            timestamps=timestamps,
        )

    # -- parts -------------------------------------------------------------------------------

    def _find_processes(self) -> None:
        if self.processes:
            for marked in marked_processes(self.identity.project):
                if marked.unit in self.processes and marked.is_leader:
                    self.processes[marked.unit].adopt(marked)

    def _create(self, names: Sequence[str], listener: Listener, stopwatch: Stopwatch) -> None:
        services = [name for name in names if name in self.spec.services]
        missing = [name for name in services if name not in self.containers]
        batch.run([partial(self.ensure_image, name, listener, stopwatch) for name in missing])
        labels = {COMPOSE_PROJECT: self.identity.project}
        existing = Existing(
            networks=frozenset(each["Name"] for each in self.engine.list_networks(labels)),
            volumes=frozenset(each["Name"] for each in self.engine.list_volumes(labels)),
        )
        self._creator.networks_and_volumes(existing)
        for wave in creation_waves(self.spec):
            batch.run(
                [
                    partial(self._create_one, name, listener, stopwatch)
                    for name in wave
                    if name in missing
                ]
            )

    def ensure_image(self, name: str, listener: Listener, stopwatch: Stopwatch) -> None:
        """Make sure of a service's image: there already, pulled, or built."""

        def tell(message: str) -> None:
            self._check_wanted()
            listener(UnitEvent(name, "image", stopwatch.elapsed_s, message))

        self.ready_images[name] = self._images.ensure(self.spec, self.spec.services[name], tell)

    def _create_one(self, name: str, listener: Listener, stopwatch: Stopwatch) -> None:
        self._check_wanted()
        listener(UnitEvent(name, "create", stopwatch.elapsed_s))
        self.containers[name] = self._creator.container(
            self.spec.services[name], self.ready_images[name]
        )
        self.addresses.forget(name)

    def _check_wanted(self) -> None:
        if self._closing:
            raise WaitCancelledError(_REMOVED)

    def _launch(self, names: Sequence[str], listener: Listener, stopwatch: Stopwatch) -> None:
        units = self._units()
        Launch(
            self.graph,
            [units.unit(name) for name in names],
            cancel=self._cancel,
            listener=listener,
            stopwatch=stopwatch,
        ).run()

    def _units(self) -> Units:
        # A failed launch cancels its waits; the next one needs a token of its own.
        self._cancel = CancelToken()
        if self._closing:
            self._cancel.cancel(_REMOVED)
        return Units(
            self,
            timeout_s=self._options.ready_timeout_s,
            cadence=self._options.cadence,
            cancel=self._cancel,
        )

    def _stop_unit(self, name: str) -> None:
        if name in self.processes:
            self.processes[name].stop()
        elif name in self.containers:
            grace_s = stop_grace_s(self.spec.services[name])
            self.engine.stop_container(self.containers[name], grace_s)
            self.addresses.forget(name)

    def _kill_unit(self, name: str) -> None:
        if name in self.processes:
            self.processes[name].kill()
        elif name in self.containers:
            self.engine.kill_container(self.containers[name])
            self.addresses.forget(name)

    def _remove_unit(self, name: str) -> None:
        self.addresses.forget(name)
        if name in self.processes:
            self.processes[name].kill()
            return
        container = self.containers.pop(name, None)
        if container is not None:
            self.engine.remove_container(container)
