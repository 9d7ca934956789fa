"""The frozen values that the rooms hand to each other; no behaviour beyond reading themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Json: TypeAlias = (
    "str | int | float | bool | Mapping[str, Json] | tuple[Json, ...] | list[Json] | None"
)
"""A JSON value; a document that was frozen holds tuples where it was read with lists."""

Protocol: TypeAlias = Literal["tcp", "udp", "sctp"]
DependencyCondition: TypeAlias = Literal[
    "service_started", "service_healthy", "service_completed_successfully"
]


@dataclass(frozen=True, slots=True)
class Dependency:
    """One entry of a service's ``depends_on``."""

    service: str
    condition: DependencyCondition = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """A declared health check; durations in seconds.

    `test` is the engine's form: ``("CMD", "pg_isready")``, ``("CMD-SHELL", "...")``.
    """

    test: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One entry under ``services:``, normalised.

    Attributes:
        name: the key under ``services:``.
        config: the service as ``docker compose config --format json`` prints it.
        depends_on: what it waits for, in the file's order.
        healthcheck: the declared check, or None where none is declared.
        healthcheck_disabled: whether the file switches the image's own check off.
        reset: the strategy that ``x-dockwright: reset:`` names, or None to detect it.
        options: what ``x-dockwright: options:`` gives that strategy.
        ready: one condition, as in `ProcessSpec`, that replaces the health check when the service
            is awaited; empty: the health check.
        cache: whether ``x-dockwright: cache:`` lets its volumes be kept; None: nothing is said.
        durable: whether its data has to outlive the machine also in a disposable copy.
    """

    name: str
    config: Mapping[str, Json]
    depends_on: tuple[Dependency, ...] = ()
    healthcheck: Healthcheck | None = None
    healthcheck_disabled: bool = False
    reset: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    ready: Mapping[str, Json] = field(default_factory=dict)
    cache: bool | None = None
    durable: bool = False

    @property
    def image(self) -> str | None:
        """The image reference, or None where the service is only built."""
        image = self.config.get("image")
        return image if isinstance(image, str) else None


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One native process under ``x-dockwright: processes:``.

    Attributes:
        name: its key; lives in one name space with the services.
        command: the argument list.
        environment: its variables; values may hold ``{service.host}``, ``{service.port:8000}``
            and ``{service.url:8000}``, filled when the stack starts.
        cwd: its working directory.
        depends_on: the services and processes it waits for.
        ready: one condition, e.g. ``{"http": "http://127.0.0.1:8080/health"}``,
            ``{"tcp": 8080}``, ``{"log": "listening"}``; empty: ready as soon as it runs.
        ready_timeout_s: how long `ready` may take, in seconds.
        stop_signal: what it is sent first when it is stopped (not when it is removed).
        stop_grace_s: how long it may take to end after `stop_signal`, in seconds.
        stateless: it holds nothing that a reset would have to bring back by starting it anew.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    depends_on: tuple[Dependency, ...] = ()
    ready: Mapping[str, Json] = field(default_factory=dict)
    ready_timeout_s: float = 60.0
    stop_signal: str = "SIGTERM"
    stop_grace_s: float = 10.0
    stateless: bool = False


@dataclass(frozen=True, slots=True)
class SpecWarning:
    """Something in a Compose file that dockwright does not use, named by its path in the file."""

    path: str
    message: str
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else ""
        return f"{place}{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class StackSpec:
    """The parsed, normalised Compose project, before it runs.

    Attributes:
        name: the project name.
        working_dir: the directory that relative paths in the files mean.
        files: the Compose files it was read from, in merge order.
        document: the whole project as ``docker compose config --format json`` prints it
            (enabled profiles only), except that a literal dollar is ``$`` and not ``$$``.
        services: the enabled services by name, in the file's order.
        processes: the native processes by name.
        content_hash: SHA-256 (hex) over the document and processes: equal specs start equal stacks.
        warnings: what the files hold that dockwright does not use.
        yaml_document: the same as ``docker compose config`` prints it in YAML, with the ``x-``
            extensions that JSON leaves out.
        cache: whether the project's ``x-dockwright: cache:`` lets baselines be kept; None: nothing
            is said.
        secrets: the variables that the project declares as secret.
        contents: the values of the variables that secrets and configs are made from.
    """

    name: str
    working_dir: Path
    files: tuple[Path, ...]
    document: Mapping[str, Json]
    services: Mapping[str, ServiceSpec]
    processes: Mapping[str, ProcessSpec]
    content_hash: str
    warnings: tuple[SpecWarning, ...] = ()
    yaml_document: Mapping[str, Json] = field(default_factory=dict)
    cache: bool | None = None
    secrets: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who made a resource: a process, told apart from a later one with the same pid.

    Attributes:
        boot_id: the machine's boot (Linux's boot id; elsewhere a constant).
        pid: the process id in that boot.
        started: when the process started, in seconds, two decimals: since the boot on Linux
            (adjusting the clock cannot change it), elsewhere since the epoch.
        host: the machine and process namespace in which the pid means something.
    """

    boot_id: str
    pid: int
    started: float
    host: str = ""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the ``dev.dockwright.*`` labels of one resource say.

    Attributes:
        session: the id of the run that made it; ``persistent`` for a long-lived stack.
        project: the hash of the project's root directory.
        stack: the name of the stack, as the project declares it.
        owner: the process that answers for it; None for a long-lived stack, which belongs to no
            process and goes only when it is uninstalled.
        created: when, seconds since the epoch.
        version: of dockwright.
    """

    session: str
    project: str
    stack: str
    owner: Owner | None
    created: float
    version: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens, as the test's process reaches it."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one test asks for.

    Attributes:
        stack: the name of a declared stack.
        exclusive: whether nobody else may use the stack meanwhile.
        scope: how long it is kept: one test, one module, or as long as a fixture wants.
        holder: who asks, for messages: a test's or a module's node id, or a fixture.
    """

    stack: str
    exclusive: bool
    scope: Literal["function", "module", "session"]
    holder: str
