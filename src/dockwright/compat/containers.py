"""The container that a suite gets from the Docker SDK: leased, or created as it was asked for.

It is a real container of the SDK. Only its beginning and its end differ: files that are copied into
it before it begins are collected, and removing it ends the lease.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from docker.models.containers import Container

from dockwright.compat.container_spec import ContainerRequest


class Beginning(Protocol):
    """What `CompatContainer.begin` uses to become a running container."""

    def __call__(self, container: CompatContainer, request: ContainerRequest) -> None:
        """Call `CompatContainer.lease` or `CompatContainer.own`."""


class CompatContainer(Container):
    """A container that is leased from the pool when it begins, or created as it was asked for.

    Args:
        client: of the suite.
        request: what the suite asks for.
        beginning: leases or creates it.

    Attributes:
        serves: whether it is a server that the pool has found to serve, perhaps in a state that it
            did not initialise itself: its log need not say that it is ready.
        host: the host on which its ports are published; empty: unknown.
    """

    def __init__(self, client: Any, request: ContainerRequest, beginning: Beginning) -> None:
        super().__init__(attrs={"Id": ""}, client=client, collection=client.containers)
        self._request = request
        self._beginning: Beginning | None = beginning
        self._end: Callable[[], None] | None = None
        self.serves = False
        self.host = ""

    def begin(self) -> None:
        """Become a running container."""
        if self._beginning is not None:
            beginning, self._beginning = self._beginning, None
            beginning(self, self._request)

    def lease(self, real: Container, end: Callable[[], None], *, serves: bool, host: str) -> None:
        """Stand for a container of the pool.

        Args:
            real: the container.
            end: ends the lease.
            serves: see `CompatContainer`.
            host: the host on which its ports are published.
        """
        self.attrs = real.attrs
        self._end = end
        self.serves, self.host = serves, host

    def own(self, real: Container) -> None:
        """Stand for a container that was created as the suite asked for it."""
        self.attrs = real.attrs

    @property
    def leased(self) -> bool:
        """Whether it is a container of the pool."""
        return self._end is not None

    def put_archive(self, path: str, data: Any) -> bool:
        """Copy files into it; before it begins, they are collected."""
        content = data if isinstance(data, bytes) else data.read()
        if self._beginning is None:
            if self.leased and (path, content) in self._request.files:
                return True  # it has had them from its start
            return bool(super().put_archive(path, content))
        request = self._request
        files = (*request.files, (path, content))
        self._request = ContainerRequest(request.image, request.arguments, files)
        return True

    def start(self, **options: Any) -> None:
        """Begin, or start it again after a stop."""
        if self._beginning is not None:
            self.begin()
        else:
            super().start(**options)

    def remove(self, **options: Any) -> None:
        """End the lease: the pool resets the container. One of its own is removed."""
        self._beginning = None
        if self._end is None:
            if self.attrs["Id"]:
                super().remove(**options)
            return
        end, self._end = self._end, None
        # From now on the engine says that there is no such container: another test may have it.
        self.attrs = {**self.attrs, "Id": f"{self.attrs['Id']}-ended"}
        end()


class ServiceContainer(CompatContainer):
    """A container that is stopped only to be removed."""

    def stop(self, **options: Any) -> None:
        """Do nothing: the lease ends with its removal."""
