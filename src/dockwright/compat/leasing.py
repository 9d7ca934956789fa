"""Leases what testcontainers starts, or creates it as testcontainers would, with our labels."""

from __future__ import annotations

import functools
import logging
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from docker.errors import DockerException

from dockwright.compat import docker_compose
from dockwright.compat.adapter import Adapter
from dockwright.compat.container_spec import ContainerRequest, NotLeasableError
from dockwright.compat.containers import CompatContainer, ServiceContainer
from dockwright.errors import DockwrightError, explained
from dockwright.paths import IN_CONTAINER

_log = logging.getLogger(__name__)


class Leasing:
    """Begins the containers, networks and Compose projects of testcontainers.

    Args:
        adapter: leases containers.

    Attributes:
        networks: whether this process has created networks, which containers may have joined.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._beside: bool | None = None
        self._proven: set[tuple[str, str]] = set()
        self.networks = False

    def pending(
        self,
        client: Any,
        starting: Any,
        image: str,
        options: Mapping[str, Any],
        make: Callable[..., Any],
    ) -> CompatContainer:
        """Return a container that has not begun yet.

        Args:
            client: testcontainers' own ``DockerClient``.
            starting: the ``DockerContainer`` that starts.
            image: its image.
            options: the other arguments of `make`.
            make: runs or creates it as testcontainers would.
        """
        kind = type(starting).__name__

        def beginning(container: CompatContainer, request: ContainerRequest) -> None:
            self._adapter.started.add(request, kind)
            try:
                self._lease(client, container, request, kind)
            except NotLeasableError as reason:
                self._note(kind, str(reason))
            except DockwrightError as failure:
                self._note(kind, explained(failure).splitlines()[0])
            if not container.leased:
                self._make(container, request, functools.partial(make, client), kind)

        return CompatContainer(client.client, ContainerRequest(image, dict(options)), beginning)

    def begin(self, starting: Any, container: CompatContainer) -> None:
        """Begin a container, with the files that its class copies into it when it has started."""
        if getattr(starting, "seed", None) is not None and hasattr(starting, "_transfer_seed"):
            starting._container = container  # noqa: SLF001 - there is no public way to it
            starting._transfer_seed()  # noqa: SLF001
        container.begin()
        self._connect_once(starting, container)

    def _connect_once(self, starting: Any, container: CompatContainer) -> None:
        """Let a database class check only once that a server answers that goes on running.

        A reset that keeps the server running returns only when it answers.
        """
        vars(starting).pop("_connect", None)
        if not container.serves or not hasattr(starting, "_connect"):
            return
        connect, run = starting._connect, (str(container.id), container.attrs["State"]["StartedAt"])  # noqa: SLF001

        def connect_once() -> None:
            if run not in self._proven:
                connect()
                self._proven.add(run)

        starting._connect = connect_once  # noqa: SLF001

    def own_labels(self, kind: str) -> dict[str, str]:
        """Return the labels of what this process creates itself; see `Adapter.own_labels`."""
        return self._adapter.own_labels(kind)

    def compose(
        self,
        compose: Any,
        cmd: Any,
        otherwise: Callable[[], subprocess.CompletedProcess[bytes]],
    ) -> subprocess.CompletedProcess[bytes]:
        """Answer a command of a ``DockerCompose``; see `docker_compose.answer`."""
        return docker_compose.answer(compose, cmd, self._adapter, otherwise)

    def _lease(
        self, client: Any, container: CompatContainer, request: ContainerRequest, kind: str
    ) -> None:
        """Lease a container and join it to the network of its request."""
        if self._is_beside_containers(client):
            raise NotLeasableError("the tests run in a container of the same engine")
        leased = self._adapter.lease(request, kind)
        try:
            real = client.client.containers.get(leased.id)
            _join(client.client, real, request)
        except DockerException as failure:
            leased.end()
            raise NotLeasableError(f"the suite's Docker client cannot use it: {failure}") from None

        networks = _networks(real)

        def end() -> None:
            if self.networks or request.arguments.get("network"):
                _leave(real, networks)
            leased.end()

        container.lease(real, end, serves=leased.serves, host=leased.host)

    def _is_beside_containers(self, client: Any) -> bool:
        """Return whether this process reaches containers by a network that it shares with them."""
        if self._beside is None:
            find = getattr(client, "find_host_network", None)
            self._beside = bool(find is not None and IN_CONTAINER.exists() and find())
        return self._beside

    def _make(
        self,
        container: CompatContainer,
        request: ContainerRequest,
        make: Callable[..., Any],
        kind: str,
    ) -> None:
        """Create and start a container as it was asked for."""
        labels = {**(request.arguments.get("labels") or {}), **self.own_labels(kind)}
        container.own(make(request.image, **{**request.arguments, "labels": labels}))
        if not request.arguments.get("detach"):  # it was created, but not started
            for path, data in request.files:
                container.put_archive(path, data)
            container.start()

    def _note(self, kind: str, reason: str) -> None:
        self._adapter.host.note(
            f"{kind} is not leased, but created for each start as testcontainers does: {reason}"
        )


def service_container(
    adapter: Adapter,
    client: Any,
    request: ContainerRequest,
    kind: str,
    *,
    ended: Callable[[], object],
) -> CompatContainer | None:
    """Lease a container that its user stops only to remove it; None: it has to be created.

    Args:
        adapter: leases it.
        client: the Docker SDK's.
        request: what is asked for.
        kind: its name in messages.
        ended: called when the lease has ended.
    """
    adapter.started.add(request, kind)
    try:
        leased = adapter.lease(request, kind)
        real = client.containers.get(leased.id)
    except (NotLeasableError, DockwrightError, DockerException) as failure:
        reason = explained(failure).splitlines()[0]
        adapter.host.note(f"{kind} is not leased, but run as pytest-databases does: {reason}")
        return None

    def end() -> None:
        leased.end()
        ended()

    container = ServiceContainer(client, request, lambda *_: None)
    container.begin()
    container.lease(real, end, serves=leased.serves, host=leased.host)
    return container


def _join(client: Any, container: Any, request: ContainerRequest) -> None:
    """Join a leased container to the network that it is to have."""
    name = request.arguments.get("network")
    if name:
        config = (request.arguments.get("networking_config") or {}).get(name) or {}
        client.networks.get(name).connect(container, aliases=config.get("Aliases"))


def _networks(container: Any) -> set[str]:
    """Return the ids of a container's networks, as it was last looked at."""
    found = container.attrs["NetworkSettings"]["Networks"].values()
    return {str(network["NetworkID"]) for network in found}


def _leave(container: Any, networks: set[str]) -> None:
    """Have a container leave the networks that it has joined beside some."""
    try:
        container.reload()
        for joined in _networks(container) - networks:
            container.client.networks.get(joined).disconnect(container, force=True)
    except DockerException as failure:  # the suite removed one; the reset finds what is left
        _log.debug("%s could not leave its networks: %s", container.id, failure)
