"""What is changed in pytest-databases: its services come from the pool.

Its ``DockerService`` runs containers through the Docker SDK, shares them by name, and stops every
container of its label on the engine at the beginning and end of a run, whoever uses it. Here each
process leases its own, by name, and ends the leases; what cannot be leased stays as it was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dockwright.compat.container_spec import ContainerRequest

if TYPE_CHECKING:
    from dockwright.compat.adapter import Adapter
    from dockwright.compat.containers import CompatContainer

_OWN = frozenset({"labels", "name", "remove"})
"""What pytest-databases needs to find and remove its containers again."""


class Services:
    """Changes ``pytest_databases._service``.

    Args:
        adapter: returns what leases containers; called by the first start.
    """

    def __init__(self, adapter: Callable[[], Adapter]) -> None:
        self._adapter = adapter

    def service(self, module: ModuleType) -> None:
        """Give each ``DockerService`` a client that leases."""
        kind = module.DockerService
        create, find, stop_all = kind.__init__, kind._get_container, kind._stop_all_containers  # noqa: SLF001

        @functools.wraps(create)
        def leasing_init(service: Any, *arguments: Any, **options: Any) -> None:
            create(service, *arguments, **options)
            service._client = _LeasingClient(service._client, self._adapter)  # noqa: SLF001

        @functools.wraps(find)
        def finding(service: Any, name: str) -> Any:
            return service._client.containers.held.get(name) or find(service, name)  # noqa: SLF001

        @functools.wraps(stop_all)
        def ending(service: Any) -> None:
            if service._client.containers.end():  # noqa: SLF001
                stop_all(service)

        kind.__init__, kind._get_container = leasing_init, finding  # noqa: SLF001
        kind._stop_all_containers = ending  # noqa: SLF001


class _LeasingClient:
    """The Docker SDK's client, with containers of the pool."""

    def __init__(self, client: Any, adapter: Callable[[], Adapter]) -> None:
        self._client = client
        self.containers = _Containers(client, adapter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Containers:
    """The containers of a client: ``run`` leases one of the pool.

    Attributes:
        held: the leased containers by the name that they were to have.
    """

    def __init__(self, client: Any, adapter: Callable[[], Adapter]) -> None:
        self._client = client
        self._adapter = adapter
        self._others = False
        self.held: dict[str, CompatContainer] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client.containers, name)

    def run(self, image: str, command: Any = None, **options: Any) -> Any:
        """Lease a container, or run it as pytest-databases asks for it."""
        from dockwright.compat.leasing import service_container

        name = str(options["name"])
        given = {key: value for key, value in options.items() if key not in _OWN}
        container = service_container(
            self._adapter(),
            self._client,
            ContainerRequest(image, {"command": command, **given}),
            name.removeprefix("pytest_databases_"),
            ended=lambda: self.held.pop(name, None),
        )
        if container is None:
            self._others = True
            return self._client.containers.run(image, command, **options)
        self.held[name] = container
        return container

    def end(self) -> bool:
        """End all leases; return whether there are other containers to remove."""
        for container in list(self.held.values()):
            container.remove()
        return self._others
