"""A lease, and the stack as a test that holds one sees it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dockwright.errors import EngineError, LeaseClosedError, UnknownServiceError
from dockwright.model import Address, Connection, Requirement
from dockwright.recording import OpenSpan, SpanRecorder
from dockwright.settings import selected

if TYPE_CHECKING:
    from dockwright.stack import CommandResult, Stack


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """What is known about a leased stack without asking the engine, as of the start of the lease.

    Attributes:
        project: its Compose project name.
        name: of the stack, as declared.
        units: its services and native processes.
        published: by unit and ``8000/tcp``: the ``host:port`` that reaches it.
        declared: by unit and ``8000/tcp``: the host port that the Compose file declares for it.
        connections: how clients connect to the services for which that is known.
    """

    project: str
    name: str
    units: tuple[str, ...]
    published: Mapping[str, Mapping[str, str]]
    declared: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    connections: Mapping[str, Connection] = field(default_factory=dict)

    @classmethod
    def of(cls, stack: Stack) -> LeaseInfo:
        """Return the information about a stack; asks the engine for what is not known yet."""
        from dockwright.stack.connection import connections  # the broker alone needs it

        units = tuple(stack.graph.dependencies)
        return cls(
            project=stack.identity.project,
            name=stack.identity.ownership.stack,
            units=units,
            published={unit: _published(stack, unit) for unit in units},
            declared={
                name: {str(port): port.published for port in service.ports if port.published}
                for name, service in stack.spec.services.items()
            },
            connections=connections(stack.spec),
        )


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What a service does.

    Attributes:
        name: of the service.
        state: the engine's word: ``running``, ``exited``, ``restarting``, ...
        exit_code: of one that has ended; None: it has not.
        logs: the last 1000 lines that it wrote.
    """

    name: str
    state: str
    exit_code: int | None
    logs: str


class LeasedStack:
    """The stack as a test sees it; usable until the lease ends.

    Ports and names differ between copies, so ask for them instead of hard-coding them.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease: Lease | None = lease
        self._holder = lease.requirement.holder

    def __repr__(self) -> str:
        return f"<stack {self._lease.facts.project if self._lease else '(lease closed)'}>"

    @property
    def name(self) -> str:
        """The stack's name, as the project declares it."""
        return selected(self._held().facts.name)[0]

    @property
    def project(self) -> str:
        """This copy's Compose project name: ``docker compose -p PROJECT ps`` lists it."""
        return self._held().facts.project

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services and native processes."""
        return self._held().facts.units

    @property
    def env(self) -> dict[str, str]:
        """Environment variables with the addresses of the declared TCP ports, for a subprocess.

        ``WEB_HOST``, ``WEB_PORT`` (the first one) and ``WEB_PORT_8000`` for a service ``web``, and
        ``DB_URL`` if `url_for` knows the URL of a service ``db``.
        """
        lease = self._held()
        variables: dict[str, str] = {}
        for unit in lease.facts.units:
            prefix = _variable_prefix(unit)
            for key, text in lease.published(unit).items():
                number, _, protocol = key.partition("/")
                if protocol == "tcp":
                    host, _, port = text.rpartition(":")
                    variables.setdefault(f"{prefix}_HOST", host)
                    variables.setdefault(f"{prefix}_PORT", port)
                    variables[f"{prefix}_PORT_{number}"] = port
        urls = self.urls().items()
        return variables | {f"{_variable_prefix(unit)}_URL": url for unit, url in urls}

    def address(self, service: str, port: int) -> Address:
        """Return the host and port where the service's own TCP port `port` is reached.

        Raises:
            UnknownServiceError: no such service.
            StackError: the port cannot be reached from here; lists those that can.
        """
        lease = self._held()
        text = lease.published(service).get(f"{port}/tcp")
        if text is None:
            return lease.stack.address(service, port)
        host, _, number = text.rpartition(":")
        return Address(host, int(number))

    def url(self, service: str, port: int, path: str = "", *, scheme: str = "http") -> str:
        """Return a URL such as ``http://127.0.0.1:49312`` that reaches the service's port."""
        suffix = path if not path or path.startswith("/") else f"/{path}"
        return f"{scheme}://{self.address(service, port)}{suffix}"

    def url_for(self, service: str, *, scheme: str | None = None) -> str:
        """Return the URL by which a client connects, with user, password and database.

        ``stack.url_for("db")`` is ``postgresql://shop:secret@127.0.0.1:21043/shop``: what the
        service is follows from its image, variables and ports, and the rest from the variables that
        the official images read (``POSTGRES_USER``, ``MYSQL_DATABASE``, ...).

        Args:
            service: its name.
            scheme: another one, such as ``postgresql+asyncpg``.

        Raises:
            UnknownServiceError: no such service, or nothing says how to connect to it.
        """
        known = self._held().facts
        if service not in known.connections:
            reason = "its kind is unknown" if service in known.units else "no such service"
            raise UnknownServiceError(
                f"stack.url_for({service!r}): {reason}",
                hint=f"known are: {', '.join(known.connections) or 'none'}; for others use "
                "stack.url(service, port, scheme=...)",
            )
        connection = known.connections[service]
        return connection.url(self.address(service, connection.port), scheme=scheme)

    def urls(self) -> dict[str, str]:
        """Return the URLs of all services for which `url_for` knows them and that are published."""
        lease = self._held()
        return {
            unit: self.url_for(unit)
            for unit, connection in lease.facts.connections.items()
            if f"{connection.port}/tcp" in lease.published(unit)
        }

    def service(self, name: str) -> ServiceState:
        """Return what a service does now, also one that has ended, such as a migration job."""
        stack = self._open()
        state = stack.engine.inspect_container(stack.container(name))["State"]
        status = str(state["Status"])
        code = None if state["Running"] or status == "created" else int(state["ExitCode"])
        return ServiceState(name, status, code, self.logs(name))

    def container(self, service: str) -> str:
        """Return the id of the service's container, e.g. for ``docker_client.containers.get``."""
        return self._open().container(service)

    def exec(
        self,
        service: str,
        command: Sequence[str],
        *,
        user: str = "",
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> CommandResult:
        """Run a command in the service's container.

        Returns:
            Its ``exit_code``, ``stdout`` and ``stderr`` (texts); a failing command does not raise.

        Raises:
            EngineTimeoutError: it ran longer than `timeout_s`.
            TypeError: the command is not a list of words.
        """
        return self._open().exec(
            service, command, user=user, environment=environment, timeout_s=timeout_s
        )

    def logs(self, service: str, *, tail: int = 1000) -> str:
        """Return the last `tail` lines that the service wrote.

        Raises:
            TypeError: `tail` is not an integer.
            ValueError: it is less than 0.
        """
        return "\n".join(self._open().last_lines(service, tail))

    def restart(self, service: str | None = None) -> None:
        """Stop the service (None: all) as it declares, start it, and wait until it is ready."""
        with self._waiting("restart", service) as stack:
            stack.restart(_units(service))

    def stop(self, service: str | None = None) -> None:
        """Stop the service (None: all) with its own stop signal and grace."""
        with self._waiting("stop", service) as stack:
            stack.stop(_units(service))

    def kill(self, service: str | None = None) -> None:
        """Kill the service (None: all) immediately, like a crash."""
        self._open().kill(_units(service))

    def start(self, service: str | None = None) -> None:
        """Start a stopped service (None: all) and wait until it is ready."""
        with self._waiting("start", service) as stack:
            stack.start(_units(service))

    @contextmanager
    def _waiting(self, what: str, service: str | None) -> Iterator[Stack]:
        """Record the time inside as waiting, with its cause."""
        lease = self._held()
        with lease.spans.span(OpenSpan("wait", f"{what} {service or 'all'}")):
            yield lease.stack

    def _open(self) -> Stack:
        return self._held().stack

    def _held(self) -> Lease:
        if self._lease is None:
            raise LeaseClosedError(
                f"the stack was used after the lease of {self._holder} ended",
                hint="ask for the stack fixture in the test that uses it",
            )
        return self._lease

    def unwrap(self) -> Stack:
        """Return the stack itself, for other packages of dockwright; tests do not need it.

        Raises:
            LeaseClosedError: the lease has ended.
        """
        return self._open()

    def close(self) -> None:
        """End the use: every later call raises `LeaseClosedError`. Called by the lease's owner."""
        self._lease = None


def _published(stack: Stack, unit: str) -> Mapping[str, str]:
    try:
        return stack.addresses.published(unit)
    except (EngineError, UnknownServiceError):  # `address` reports it when it is called
        return {}


def _variable_prefix(unit: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", unit.upper())


def _units(service: str | None) -> list[str] | None:
    return None if service is None else [service]


@dataclass(slots=True, eq=False)
class Lease:
    """The right of one holder to use one stack, from `Pool.acquire` to `Pool.release`.

    Attributes:
        requirement: what was asked for.
        facts: what is known about the stack without asking the engine.
        find: returns the stack itself, which a client creates only when it is needed.
        waited_s: how long the holder waited for the lease, in seconds.
        seeding: whether the holder has to seed the stack and then ask for a lease again.
        lost: the units whose clients lost their connections by a reset since this process had the
            stack before; None: there was none.
        containers: the ids of its containers by service, as far as the client knows them.
        doubted: the services in doubt: earlier tests may have left something in their memory.
        leased: the stack as the holder sees it.
        spans: records what its holder waits for.
        began_s: when it began, seconds since the epoch (as log lines are stamped).
        since_s: the same on the monotonic clock.
    """

    requirement: Requirement
    facts: LeaseInfo
    find: Callable[[], Stack]
    waited_s: float
    seeding: bool = False
    lost: tuple[str, ...] | None = None
    containers: Mapping[str, str] = field(default_factory=dict)
    doubted: tuple[str, ...] = ()
    leased: LeasedStack = field(init=False)
    spans: SpanRecorder = field(default_factory=SpanRecorder)
    began_s: float = field(default_factory=time.time)
    since_s: float = field(default_factory=time.monotonic)
    _found: Stack | None = None

    def __post_init__(self) -> None:
        self.leased = LeasedStack(self)

    @property
    def stack(self) -> Stack:
        """The stack itself."""
        if self._found is None:
            self._found = self.find()
        return self._found

    def renew(self, facts: LeaseInfo, find: Callable[[], Stack]) -> None:
        """Take over what is known of the stack after a reset, which may replace containers."""
        self.facts, self.find, self._found = facts, find, None

    def published(self, unit: str) -> Mapping[str, str]:
        """Return ``host:port`` by the unit's own port, as far as that is known.

        Once the stack itself was used, its ports may have changed; then the engine is asked.
        """
        if self._found is not None:
            return self._found.addresses.published(unit)
        return self.facts.published.get(unit, {})


@dataclass(frozen=True, slots=True)
class SeedKey:
    """What a broker knows of a seed.

    Attributes:
        digest: identifies what it does; copies that were seeded differently are other stacks.
        lasting: whether the digest covers everything that it reads, so that seeded volumes can be
            kept for later runs; otherwise every new copy is seeded.
    """

    digest: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed as the client has it that runs it.

    Attributes:
        key: what the broker knows of it.
        run: seeds a stack, which it gets with its declared name; raises `DockwrightError`.
    """

    key: SeedKey
    run: Callable[[LeasedStack, str], None]
