"""The frozen values that packages pass to each other, without behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
class Port:
    """A port of a service: one entry of ``ports``, or one number of ``expose``.

    Attributes:
        number: the container's port.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        published: the host's port, or a range of them; empty: any that is free.
        host_ip: the host's address; empty: all.
        app_protocol: what is spoken on it, such as ``http``; empty: nothing is said.
    """

    number: int
    protocol: str = "tcp"
    published: str = ""
    host_ip: str = ""
    app_protocol: str = ""

    def __str__(self) -> str:
        """Return it as the engine writes it: ``8000/tcp``."""
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of a service's ``volumes``.

    Attributes:
        kind: ``volume``, ``bind``, ``tmpfs`` or another kind of the engine.
        target: where it is in the container.
        source: the volume's key in the file, or the host's path; empty: none is given.
        read_only: whether the service cannot write to it.
        consistency: as in Compose; empty: the engine's default.
        options: those of its kind, such as ``create_host_path`` of a bind.
    """

    kind: str
    target: str
    source: str = ""
    read_only: bool = False
    consistency: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_named_volume(self) -> bool:
        """Whether it is a volume that the file gives a name."""
        return self.kind == "volume" and bool(self.source)


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A config or secret that a service is given.

    Attributes:
        kind: ``config`` or ``secret``.
        source: its key under ``configs:`` or ``secrets:``.
        target: its absolute path in the container.
        file: the host's file that it is; None: it is made of `content` or a variable.
        content: what is in it, as the project declares it.
        variable: the environment variable that holds what is in it.
        external: whether it is in a swarm's store.
        mode: the permissions in the container.
        uid: the owner in the container.
        gid: the group in the container.
    """

    kind: Literal["config", "secret"]
    source: str
    target: str
    file: str | None = None
    content: str | None = None
    variable: str | None = None
    external: bool = False
    mode: int = 0o444
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """How a service joins one network.

    Attributes:
        aliases: more names of the service in it.
        addresses: fixed ones, by Compose's key, such as ``ipv4_address``.
        mac_address: the fixed hardware address; empty: any.
        driver_opts: options for the network's driver.
    """

    aliases: tuple[str, ...] = ()
    addresses: Mapping[str, Any] = field(default_factory=dict)
    mac_address: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service's container may use; None: as much as there is.

    Those under ``deploy:`` count before those of the service, except for ``cpus``, as in Compose.
    """

    memory_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """How an image is built.

    Attributes:
        context: the directory that is sent to the builder.
        tags: the image's names; the first is the one that messages use.
        dockerfile: its path, relative to `context`; None: ``Dockerfile``.
        dockerfile_inline: its text, instead of a file.
        args: build arguments.
        labels: labels of the image.
        target: the stage to stop at; None: the last.
        cache_from: images, or with BuildKit other caches, to take layers from.
        cache_to: where BuildKit is to save its cache.
        network: the network mode of ``RUN`` steps, e.g. ``host``; None: the engine's default.
        platforms: which to build for; empty: the engine's own.
        no_cache: whether to use no layer of an earlier build.
        pull: whether to look for newer base images.
        ssh: agents or keys for ``RUN --mount=type=ssh``, e.g. ``default``.
        extra_hosts: lines for ``/etc/hosts`` of ``RUN`` steps, ``name:address``.
        shm_size_bytes: the size of ``/dev/shm`` in ``RUN`` steps; None: the engine's default.
        additional_contexts: more named contexts for BuildKit: directories, images, URLs.
    """

    context: Path
    tags: tuple[str, ...] = ()
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    network: str | None = None
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    ssh: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    shm_size_bytes: int | None = None
    additional_contexts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One entry under ``services:``, normalised.

    Attributes:
        name: the key under ``services:``.
        config: the service as ``docker compose config --format json`` prints it: for hashes, and
            for what goes to the engine as it is. The other attributes are read from it.
        depends_on: what it waits for, in the file's order.
        healthcheck: the declared check, or None where none is declared.
        healthcheck_disabled: whether the file switches the image's own check off.
        reset: the strategy that ``x-dockwright: reset:`` names, or None to detect it.
        options: what ``x-dockwright: options:`` gives that strategy.
        ready: one condition, as in `ProcessSpec`, that replaces the health check when the service
            is awaited; empty: the health check.
        cache: whether ``x-dockwright: cache:`` lets its volumes be kept; None: nothing is said.
        durable: whether its data has to outlive the machine also in a disposable copy.
        ports: the published ones.
        exposed: those that only ``expose`` names.
        mounts: its ``volumes``.
        tmpfs: the options of its file systems in memory, by where they are.
        files: its configs and secrets.
        networks: how it joins networks, the one with the highest priority first; none if it has a
            `network_mode`.
        network_mode: the namespace that it shares, or ``host``, ``none``, ``bridge``; empty: its
            own network.
        volumes_from: the services or containers whose volumes it has.
        links: services that it reaches by another name.
        environment: its variables; those that are None are taken from the engine's image.
        limits: what it may use.
        build: how its image is built; None: it is pulled.
        pull_policy: when the image is pulled.
        platform: which of an image's platforms to use; None: the engine's own.
        container_name: the name that the file gives its container.
        read_only: whether it cannot write to its root file system.
        stop_grace_s: how long it may take to end when it is stopped, in seconds; None: the
            default of Compose.
    """

    name: str
    config: Mapping[str, Any]
    depends_on: tuple[Dependency, ...] = ()
    healthcheck: Healthcheck | None = None
    healthcheck_disabled: bool = False
    reset: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    ready: Mapping[str, Json] = field(default_factory=dict)
    cache: bool | None = None
    durable: bool = False
    ports: tuple[Port, ...] = ()
    exposed: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    files: tuple[GivenFile, ...] = ()
    networks: Mapping[str, Attachment] = field(default_factory=dict)
    network_mode: str = ""
    volumes_from: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    build: Build | None = None
    pull_policy: str = "missing"
    platform: str | None = None
    container_name: str | None = None
    read_only: bool = False
    stop_grace_s: float | None = None

    @property
    def image(self) -> str | None:
        """The image reference, or None where the service is only built."""
        image = self.config.get("image")
        return image if isinstance(image, str) else None

    @property
    def is_built(self) -> bool:
        """Whether a start builds its image, instead of pulling it or taking the one there is."""
        return self.build is not None and self.pull_policy not in ("always", "never")

    @property
    def declared_ports(self) -> tuple[Port, ...]:
        """The ports on which it says that it serves others; none if it has no network."""
        return () if self.network_mode == "none" else (*self.ports, *self.exposed)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One native process under ``x-dockwright: processes:``.

    Attributes:
        name: its key; services and processes have distinct names.
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
        stateless: it holds no state, so a reset need not restart it.
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
    document: Mapping[str, Any]
    services: Mapping[str, ServiceSpec]
    processes: Mapping[str, ProcessSpec]
    content_hash: str
    warnings: tuple[SpecWarning, ...] = ()
    yaml_document: Mapping[str, Json] = field(default_factory=dict)
    cache: bool | None = None
    secrets: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)

    def image_of(self, service: str) -> str:
        """Return the reference of a service's image; one that is only built is named after it."""
        return self.services[service].image or f"{self.name}-{service}"

    def section(
        self, kind: Literal["networks", "volumes", "configs", "secrets"]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return a section of the file's top level, by key."""
        return {key: value or {} for key, value in (self.document.get(kind) or {}).items()}

    def is_external(self, kind: Literal["networks", "volumes"], key: str) -> bool:
        """Return whether a declared network or volume is external."""
        return bool(self.section(kind).get(key, {}).get("external"))


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that created a resource, distinct from a later one with the same pid.

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
    """What one test needs.

    Attributes:
        stack: the name of a declared stack.
        exclusive: whether the test needs the stack for itself.
        scope: how long it is kept: for one test, one module, or the scope of a fixture.
        holder: what asks, for messages: a test's or a module's node id, or a fixture.
        sticky: whether its process gets the same copy each time.
        audited: whether it is looked at by itself: nobody shares the stack with it.
        repeatable: whether the holder repeats what fails, with a requirement that is not: only that
            one gets no copy with services in doubt.
    """

    stack: str
    exclusive: bool
    scope: Literal["function", "module", "session"]
    holder: str
    sticky: bool = False
    audited: bool = False
    repeatable: bool = False

    @property
    def alone(self) -> bool:
        """Whether nobody else has the stack meanwhile."""
        return self.exclusive or self.audited


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that a test left behind.

    Attributes:
        kind: what it is, as a word of a sentence: ``table``, ``key``, ``file``, ``process``, ...
        name: which one; empty: the kind says it all.
        detail: what happened to it: ``added``, ``3 rows added``, ...
        service: the service that it is in; empty: it is outside of the stack.
        certain: whether a test did it; False: the service may have done it by itself.
    """

    kind: str
    name: str = ""
    detail: str = ""
    service: str = ""
    certain: bool = True

    def __str__(self) -> str:
        where = f"{self.service}: " if self.service else ""
        what = f"{where}{self.kind} {self.name}".rstrip()
        return f"{what} ({self.detail})" if self.detail else what

    @property
    def place(self) -> tuple[str, str, str]:
        """What was changed, however it was changed."""
        return self.service, self.kind, self.name


@dataclass(frozen=True, slots=True)
class Connection:
    """How a client connects to a service.

    Attributes:
        scheme: of the URL.
        port: the service's own TCP port.
        user: empty: none.
        password: empty: none.
        database: or virtual host; empty: none.
    """

    scheme: str
    port: int
    user: str = ""
    password: str = ""
    database: str = ""

    def url(self, address: Address, *, scheme: str | None = None) -> str:
        """Return the URL of an address, with quoted names and passwords."""
        from urllib.parse import quote  # not before a test asks for a URL

        name, secret = quote(self.user, safe=""), quote(self.password, safe="")
        login = f"{name}:{secret}@" if secret else f"{name}@" if name else ""
        path = f"/{quote(self.database, safe='')}" if self.database else ""
        return f"{scheme or self.scheme}://{login}{address}{path}"
