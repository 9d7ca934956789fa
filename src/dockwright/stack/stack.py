"""One copy of a stack: creates, starts, stops and removes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from dockwright.engine import Engine, parallel
from dockwright.errors import (
    ComposeError,
    EngineError,
    ImageMissingError,
    PortInUseError,
    StackBrokenError,
    WaitCancelledError,
)
from dockwright.model import StackSpec
from dockwright.stack.create import Creator, Existing, require_runnable
from dockwright.stack.graph import creation_waves, entangled
from dockwright.stack.host_ports import HostPorts
from dockwright.stack.images import Images, ImageWatch, ReadyImage
from dockwright.stack.layers import Layers
from dockwright.stack.naming import COMPOSE_PROJECT, Identity, guests_of, volumes_of_copy
from dockwright.stack.native import kill_processes, marked_processes
from dockwright.stack.start import Launch, Listener, StartProgress, Units, ignore
from dockwright.stack.view import StackOptions, StackView
from dockwright.wait import CancelToken

_REMOVED = "the stack is being removed"
_DEFAULT_GRACE_S = 10.0  # the Compose specification's
_PORT_ATTEMPTS = 5


class Stack(StackView):
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
        super().__init__(spec, engine, identity, options)
        self.ready_images: dict[str, ReadyImage] = {}
        self._images = options.images or Images(engine)
        host_ports = HostPorts(options.ports, options.free_ports, local=engine.endpoint.is_local)
        self.layers = Layers(self)
        self._creator = Creator(
            engine, spec, identity, self.addresses, host_ports, self.layers.options
        )
        self._unstarted: set[str] = set()
        self._tokens: set[CancelToken] = set()
        self._closing = False

    def start(
        self,
        units: Iterable[str] | None = None,
        *,
        listener: Listener = ignore,
        prepare: Callable[[], None] | None = None,
        fill: Callable[[], None] | None = None,
    ) -> None:
        """Create what is missing, start everything in order, and wait until all is ready.

        Args:
            units: the services and processes to start, with what they depend on; None: all.
            listener: called with each event, from several threads.
            prepare: called when all images are there and before anything is created, to make
                layers.
            fill: called when everything is created and before anything starts, to pour data into
                the volumes.

        Raises:
            ComposeError: there is nothing to start.
            DockwrightError: a unit failed. What was created stays; `remove` takes it away.
        """
        progress = StartProgress(listener)
        names = self.graph.ordered() if units is None else self.known_with_dependencies(units)
        if not names:
            raise ComposeError(
                f"stack {self.spec.name} has nothing to start: no service is enabled",
                hint="activate the profile of a service, or declare one",
            )
        self._create(names, progress, prepare)
        if fill is not None:
            fill()
        self._launch(names, progress)

    def create(self, *, listener: Listener = ignore) -> None:
        """Create what is missing, and start nothing."""
        self._create(self.graph.ordered(), StartProgress(listener))

    def create_networks_and_volumes(self) -> None:
        """Create the networks, and the volumes that have names, as far as they are missing."""
        labels = {COMPOSE_PROJECT: self.identity.project}
        existing = Existing(
            networks=frozenset(each["Name"] for each in self.engine.list_networks(labels)),
            volumes=frozenset(each["Name"] for each in self.engine.list_volumes(labels)),
        )
        self._creator.networks_and_volumes(existing)

    def stop(self, units: Iterable[str] | None = None) -> None:
        """Stop units, dependents first, with the stop signal and grace that they declare."""
        for wave in reversed(self.graph.waves(self.known(units))):
            parallel.run([partial(self._stop_unit, name) for name in wave])

    def restart(self, units: Iterable[str] | None = None, *, listener: Listener = ignore) -> None:
        """Stop units, start them again, and wait until they are ready."""
        names = self.known(units)
        self.stop(names)
        self._launch(self.graph.ordered(names), StartProgress(listener))

    def kill(self, units: Iterable[str] | None = None) -> None:
        """Kill units at once, without their stop grace; what does not run stays as it is."""
        parallel.run([partial(self._kill_unit, name) for name in self.known(units)])

    def launch(self, units: Iterable[str]) -> None:
        """Start exactly these existing units, in order, and wait until they are ready."""
        self._launch(self.graph.ordered(self.known(units)), StartProgress())

    def revive(self, *, without: Collection[str] = ()) -> None:
        """Start every container that should run but does not, and wait until all are ready.

        Args:
            without: services to leave alone: they are about to be replaced.

        Raises:
            StackBrokenError: a container is gone.
        """
        labels = {COMPOSE_PROJECT: self.identity.project}
        states = {each["Id"]: each["State"] for each in self.engine.list_containers(labels)}
        wanted = {name: each for name, each in self.containers.items() if name not in without}
        for name, container in wanted.items():
            if container not in states:
                raise StackBrokenError(f"the container of {name} was removed")
            if states[container] == "paused":
                self.engine.unpause_container(container)
            self.addresses.forget(name)
        awaited = [name for name in wanted if not self.graph.awaited_to_completion(name)]
        self.launch(awaited)

    def await_ready(self, unit: str) -> None:
        """Wait until a running unit is ready (again).

        Raises:
            StackError: it does not get ready in time, or it has exited.
        """
        with self._token() as token:
            self._units(token).unit(unit).wait_ready()

    def recreate(
        self, units: Iterable[str], *, fill: Callable[[str], None] | None = None
    ) -> list[str]:
        """Replace units by new containers with new volumes; networks stay.

        Volumes are layers above the baseline if it has frozen volumes; otherwise they are empty.

        Args:
            units: what to replace; with them go those that share a volume or a namespace.
            fill: called with each service's name before anything starts, to pour data into the
                volumes of its new container.

        Returns:
            All that were replaced, in start order.
        """
        names = self.graph.ordered(entangled(self.spec, self.known(units)))
        former = self.layers.take(names)
        tasks: list[Callable[[], object]] = [partial(self._remove_unit, name) for name in names]
        tasks.append(partial(self.layers.add, names))
        parallel.run(tasks)
        volumes = {volume for name in names for volume in self.volumes_of(name).values()}
        parallel.run([partial(self.engine.remove_volume, volume) for volume in volumes])
        tasks = [partial(self._start_again, names, fill), partial(self.layers.remove, former)]
        parallel.run(tasks)
        return names

    def _start_again(self, names: Sequence[str], fill: Callable[[str], None] | None) -> None:
        self._create(names, StartProgress())
        if fill is not None:
            parallel.run([partial(fill, name) for name in names if name in self.containers])
        self._launch(names, StartProgress())

    def remove(self, *, volumes: bool = True) -> None:
        """Remove everything of this copy, at once, also what a failed start left half made.

        Never waits for a stop grace. External networks and volumes stay.

        Raises:
            EngineError: or an `ExceptionGroup` of them: something could not be removed.
        """
        self.cancel()
        labels = self.identity.selector()
        doomed = self.engine.list_containers(labels)
        if self.processes:
            kill_processes(each.process for each in marked_processes(self.identity.project))
            for process in self.processes.values():
                process.kill()
                process.remove_log()
        parallel.run([partial(self.engine.remove_container, found["Id"]) for found in doomed])
        self.containers.clear()
        tasks = [
            # Whatever a test has attached to a copy's network must not keep it from going.
            partial(self.engine.remove_network, found["Id"], cut_off=self.identity.isolated)
            for found in self.engine.list_networks(labels)
        ]
        if volumes:
            names = {found["Name"] for found in self.engine.list_volumes(labels)}
            if self.identity.isolated:
                names.update(*(volumes_of_copy(found, self.identity.project) for found in doomed))
            tasks += [partial(self.engine.remove_volume, name) for name in names]
        parallel.run(tasks)

    def cancel(self) -> None:
        """End a start that is under way in another thread, and all later ones, at once."""
        self._closing = True
        for token in list(self._tokens):
            token.cancel(_REMOVED)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called: it cannot be started again."""
        return self._closing

    def volumes_of(self, service: str) -> dict[str, str]:
        """Return the engine's names of the volumes that belong to this copy, by mount target."""
        if service not in self.spec.services:
            return {}
        return self._creator.volumes_of(self.spec.services[service], self.ready_images[service])

    def anonymous_volume(self, service: str, target: str) -> str:
        """Return the engine's name of a volume that the file gives none, by its mount target."""
        return self._creator.anonymous_volume(service, target)

    def _create(
        self,
        names: Sequence[str],
        progress: StartProgress,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        services = [name for name in names if name in self.spec.services]
        missing = [name for name in services if name not in self.containers]
        require_runnable(self.spec, missing, self.engine)
        parallel.run([partial(self.ensure_image, name, progress) for name in missing])
        if prepare is not None:
            prepare()
        self.create_networks_and_volumes()
        for wave in creation_waves(self.spec):
            parallel.run(
                [partial(self._create_one, name, progress) for name in wave if name in missing]
            )

    def ensure_image(self, name: str, progress: StartProgress, *, refresh: bool = False) -> None:
        """Get a service's image: it exists, is pulled, or is built.

        Args:
            name: the service.
            progress: of the start that this is a part of.
            refresh: whether to pull or build an existing image again.
        """

        def on_progress(message: str) -> None:
            self._check_wanted()
            progress.report(name, "image", message)

        get = self._images.refresh if refresh else self._images.ensure
        watch = ImageWatch(on_progress, lambda: self._closing)
        try:
            self.ready_images[name] = get(self.spec, self.spec.services[name], watch)
        except EngineError:
            self._check_wanted()  # it ended because we ended it
            raise

    def _create_one(self, name: str, progress: StartProgress) -> None:
        self._check_wanted()
        progress.report(name, "create")
        try:
            self.containers[name] = self._container(name)
        except ImageMissingError:  # removed since then: by a prune, by a run that has ended
            self._images.forget(self.spec, self.spec.services[name])
            self.ensure_image(name, progress)
            self.containers[name] = self._container(name)
        self._unstarted.add(name)
        self.addresses.forget(name)

    def _container(self, name: str) -> str:
        return self._creator.container(self.spec.services[name], self.ready_images[name])

    def start_container(self, name: str) -> None:
        """Start a service's container; a new one gets other host ports if its own are taken.

        Raises:
            PortInUseError: the container ran before, or its host ports are declared.
            EngineError: it cannot be started.
        """
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self.engine.start_container(self.container(name))
                break
            except PortInUseError:
                last = attempt == _PORT_ATTEMPTS or name not in self._unstarted
                if last or not self._move_ports(name):
                    raise
        self._unstarted.discard(name)
        self.addresses.forget(name)

    def _move_ports(self, name: str) -> bool:
        """Create a container again with other host ports, and those that are in its network."""
        if not self._creator.move_ports(self.spec.services[name]):
            return False
        sharers = [name, *(each.name for each in guests_of(self.spec, name))]
        again = [each for each in sharers if each in self.containers]
        for each in reversed(again):
            self.engine.remove_container(self.containers.pop(each))
        for each in again:
            self._create_one(each, StartProgress())
        return True

    def _check_wanted(self) -> None:
        if self._closing:
            raise WaitCancelledError(_REMOVED)

    def _launch(self, names: Sequence[str], progress: StartProgress) -> None:
        with self._token() as token:
            units = self._units(token)
            Launch(
                self.graph,
                [units.unit(name) for name in names],
                cancel=token,
                progress=progress,
            ).run()

    @contextmanager
    def _token(self) -> Iterator[CancelToken]:
        """Give out a token that `cancel` cancels; failures cancel too, so each use has its own."""
        token = CancelToken()
        self._tokens.add(token)
        try:
            if self._closing:
                token.cancel(_REMOVED)
            yield token
        finally:
            self._tokens.discard(token)

    def _units(self, token: CancelToken) -> Units:
        return Units(
            self,
            timeout_s=self.options.ready_timeout_s,
            cadence=self.options.cadence,
            cancel=token,
            start_container=self.start_container,
        )

    def _stop_unit(self, name: str) -> None:
        if name in self.processes:
            self.processes[name].stop()
        elif name in self.containers:
            declared_s = self.spec.services[name].stop_grace_s
            grace_s = _DEFAULT_GRACE_S if declared_s is None else declared_s
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
