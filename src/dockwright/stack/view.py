"""A running copy of a stack, for reading: in any process, whichever one started it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from dockwright.engine import Engine, LogStream
from dockwright.errors import ConflictError, NoSuchObjectError, UnknownServiceError
from dockwright.model import Address, StackSpec
from dockwright.settings import START_TIMEOUT_S, Settings
from dockwright.stack.addresses import Addresses
from dockwright.stack.graph import Graph
from dockwright.stack.host_ports import FreePorts, PortMode
from dockwright.stack.images import Images
from dockwright.stack.naming import COMPOSE_SERVICE, Identity, Names, config_hash, is_set_aside
from dockwright.stack.native import NativeProcess, marked_processes
from dockwright.wait import Cadence, SilentPorts


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
        images: shared by the stacks of one owner, so that each image is pulled or built once.
        cadence: how waits poll if no event arrives.
        ports: which host ports an isolated copy has.
        free_ports: chooses free ones; shared by the stacks of one owner.
        listen_timeout_s: how long a service without a health check may take to listen on its
            declared ports before it counts as ready without, in seconds; None: it never does.
        silent_ports: shared by the copies of one stack, so that a declared port on which nothing
            listens delays only one start.
    """

    log_directory: Path
    ready_timeout_s: float = START_TIMEOUT_S
    images: Images | None = None
    cadence: Cadence = field(default_factory=Cadence)
    ports: PortMode = "free"
    free_ports: FreePorts = field(default_factory=FreePorts)
    listen_timeout_s: float | None = None
    silent_ports: SilentPorts = field(default_factory=SilentPorts)

    @classmethod
    def of(cls, settings: Settings, log_directory: Path) -> Self:
        """Return what the settings of a run say."""
        return cls(
            log_directory,
            ready_timeout_s=settings.start_timeout,
            listen_timeout_s=settings.listen_timeout or None,
            cadence=Cadence(settings.poll_first, settings.poll_ceiling),
        )


class StackView:
    """One copy of a stack: its containers and processes, their addresses and logs.

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
        self.options = options
        self.graph = Graph.of(spec)
        self.names = Names(spec, identity.project, identity.isolated)
        self.containers: dict[str, str] = {}
        prefix = options.log_directory / identity.project
        self.processes = {
            name: NativeProcess(
                each, identity, Path(f"{prefix}-{name}.log"), config_hash(spec, name)
            )
            for name, each in spec.processes.items()
        }
        self.addresses = Addresses(engine, self.containers, self.processes, spec)

    def attach(self) -> Self:
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
        return self.names.container(service)

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
        """Run a command in a service's container and return its output as text.

        Raises:
            TypeError: the command is not a list of words.
            ConflictError: the container does not run.
        """
        if isinstance(command, str) or not command:
            raise TypeError(
                f"a command is a list of words, such as ['ls', '-l'], not {command!r}; "
                "a shell's line is ['sh', '-c', 'ls | wc -l']"
            )
        container = self.container(service)
        try:
            result = self.engine.exec(
                container, command, user=user, env=environment, timeout_s=timeout_s
            )
        except ConflictError as failure:
            raise ConflictError(
                f"service {service}: {failure.message.replace(container, container[:12])}",
                hint=f'stack.start("{service}") starts it; stack.logs("{service}") shows why it '
                "ended, if it did so by itself",
            ) from failure
        return CommandResult(
            result.exit_code,
            result.stdout.decode(errors="replace"),
            result.stderr.decode(errors="replace"),
        )

    def last_lines(self, unit: str, count: int, *, since_s: float | None = None) -> list[str]:
        """Return the last `count` lines that a unit wrote, since a time (epoch) if given.

        Raises:
            TypeError: `count` is not a whole number.
            ValueError: it is less than 0.
        """
        if not isinstance(count, int):
            raise TypeError(f"the number of lines is a whole number, not {count!r}")
        if count < 0:
            raise ValueError(f"the number of lines is 0 or more, not {count}")
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

    def _find_processes(self) -> None:
        if self.processes:
            for marked in marked_processes(self.identity.project):
                if marked.unit in self.processes and marked.is_leader:
                    self.processes[marked.unit].adopt(marked)
