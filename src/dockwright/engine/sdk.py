"""docker-py's own client for users who want it, on the connections that are open already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import docker

if TYPE_CHECKING:
    from dockwright.engine.transport import Transport


def sdk_client(transport: Transport) -> docker.DockerClient:
    """Return a client that shares the transport's connections and API version."""
    # The address is replaced below: docker-py has no way to be given an adapter.
    client = docker.DockerClient(
        base_url="tcp://localhost:2375",
        version=transport.version.api,
        timeout=int(transport.timeout_s),
    )
    client.api.base_url = transport.mount(client.api)
    return client
