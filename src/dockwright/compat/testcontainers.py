"""What is changed in testcontainers-python: what starts containers, and nothing else.

Versions from 4.0 on either ``run`` a container or ``create``, fill and ``start`` it, all by its
``DockerClient``: these calls lease instead, while a ``DockerContainer`` starts. Its ``stop``
removes the container of the Docker SDK, which ends the lease. What testcontainers knows about
images, variables, ports, URLs and waits stays its own.

A suite that imports testcontainers and starts nothing pays for this module alone: what leases is
imported by the first start.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dockwright.paths import IN_CONTAINER

if TYPE_CHECKING:
    from dockwright.compat.adapter import Adapter
    from dockwright.compat.leasing import Leasing


class Patches:
    """What is changed in each module of testcontainers.

    Args:
        adapter: returns what leases containers; called by the first start.
    """

    def __init__(self, adapter: Callable[[], Adapter]) -> None:
        self._adapter = adapter
        self._starting = threading.local()

    @cached_property
    def _leasing(self) -> Leasing:
        from dockwright.compat.leasing import Leasing

        return Leasing(self._adapter())

    def container(self, module: ModuleType) -> None:
        """Note which container starts, start no reaper, and know the host of leased containers."""
        kind = module.DockerContainer
        start, host_ip = kind.start, kind.get_container_host_ip

        @functools.wraps(start)
        def noting_start(container: Any, *arguments: Any, **options: Any) -> Any:
            with self._noting(container):
                return start(container, *arguments, **options)

        @functools.wraps(host_ip)
        def reachable_host_ip(container: Any) -> str:
            return _host_in_container(container) or host_ip(container)

        kind.start, kind.get_container_host_ip = noting_start, reachable_host_ip
        if hasattr(module, "Reaper"):
            module.Reaper.get_instance = classmethod(lambda _: None)

    def docker_client(self, module: ModuleType) -> None:
        """Lease instead of creating, while a ``DockerContainer`` starts."""
        kind = module.DockerClient
        self._run(kind)
        if hasattr(kind, "find_host_network"):
            _find_network_once(kind)
        if hasattr(kind, "create"):
            self._create_and_start(kind)

    def _run(self, kind: Any) -> None:
        run = kind.run

        @functools.wraps(run)
        def leasing_run(client: Any, image: str, *arguments: Any, **options: Any) -> Any:
            starting = self._starting_container()
            if starting is None or arguments or not options.get("detach"):
                return run(client, image, *arguments, **options)
            container = self._leasing.pending(client, starting, image, options, run)
            self._leasing.begin(starting, container)
            return container

        kind.run = leasing_run

    def _create_and_start(self, kind: Any) -> None:
        create, start = kind.create, kind.start

        @functools.wraps(create)
        def leasing_create(client: Any, image: str, *arguments: Any, **options: Any) -> Any:
            starting = self._starting_container()
            if starting is None or arguments:
                return create(client, image, *arguments, **options)
            return self._leasing.pending(client, starting, image, options, create)

        @functools.wraps(start)
        def leasing_start(client: Any, container: Any) -> None:
            starting = self._starting_container()
            if starting is None:
                start(client, container)
            else:
                self._leasing.begin(starting, container)

        kind.create, kind.start = leasing_create, leasing_start

    def network(self, module: ModuleType) -> None:
        """Give networks our labels, so that they never outlive the run."""
        kind = module.Network
        name = "create" if hasattr(kind, "create") else "__enter__"
        create = getattr(kind, name)

        @functools.wraps(create)
        def owned_create(network: Any) -> Any:
            self._leasing.networks = True
            given = network._docker_network_kw  # noqa: SLF001 - there is no public way to it
            labels = {**(given.get("labels") or {}), **self._leasing.own_labels("Network")}
            network._docker_network_kw = {**given, "labels": labels}  # noqa: SLF001
            return create(network)

        setattr(kind, name, owned_create)

    def compose(self, module: ModuleType) -> None:
        """Lease a stack for each ``DockerCompose``."""
        kind = module.DockerCompose
        if not hasattr(kind, "_run_command"):
            return  # 4.0 to 4.3 call Compose in several places
        run = kind._run_command  # noqa: SLF001 - there is no public way to it

        @functools.wraps(run)
        def answering_run(compose: Any, cmd: Any, context: str | None = None) -> Any:
            return self._leasing.compose(compose, cmd, lambda: run(compose, cmd, context))

        kind._run_command = answering_run  # noqa: SLF001

    def waiting_utils(self, module: ModuleType) -> None:
        """Do not wait for lines in the log of a server that the pool has found to serve."""
        wait_for_logs = module.wait_for_logs

        @functools.wraps(wait_for_logs)
        def waiting(container: Any, *arguments: Any, **options: Any) -> Any:
            return 0.0 if _serves(container) else wait_for_logs(container, *arguments, **options)

        module.wait_for_logs = waiting  # type: ignore[attr-defined]  # it has just been read

    def wait_strategies(self, module: ModuleType) -> None:
        """Do the same for the strategy that waits for lines in a log."""
        kind = module.LogMessageWaitStrategy
        wait_until_ready = kind.wait_until_ready

        @functools.wraps(wait_until_ready)
        def waiting(strategy: Any, container: Any) -> None:
            if not _serves(container):
                wait_until_ready(strategy, container)

        kind.wait_until_ready = waiting

    @contextmanager
    def _noting(self, container: Any) -> Iterator[None]:
        """Note that a container starts in this thread."""
        before = self._starting_container()
        self._starting.container = container
        try:
            yield
        finally:
            self._starting.container = before

    def _starting_container(self) -> Any:
        return getattr(self._starting, "container", None)


def _serves(container: Any) -> bool:
    return getattr(getattr(container, "_container", None), "serves", None) is True


def _host_in_container(container: Any) -> str:
    """Return where this process reaches a leased container if it is in a container itself.

    Its ports are on the loopback only, and testcontainers would take the bridge's address. Empty:
    testcontainers knows it.
    """
    wrapped = getattr(container, "_container", None)
    if getattr(wrapped, "leased", None) is True and IN_CONTAINER.exists():
        return str(wrapped.host)  # type: ignore[union-attr]  # it is ours
    return ""


def _find_network_once(kind: Any) -> None:
    """Ask the engine once for each client: each address and port of a container asks again."""
    find = kind.find_host_network

    @functools.wraps(find)
    def finding(client: Any) -> Any:
        if "_dockwright_network" not in vars(client):
            client._dockwright_network = find(client)  # noqa: SLF001 - our own
        return client._dockwright_network  # noqa: SLF001

    kind.find_host_network = finding
