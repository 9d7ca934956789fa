"""The engine: one object for all calls, one for each endpoint in a process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from dockwright.engine.build import BuildCalls
from dockwright.engine.capabilities import Capabilities
from dockwright.engine.endpoint import Endpoint, resolve_endpoint
from dockwright.engine.events import EventHub
from dockwright.engine.exec import ExecCalls, ExecSessionCalls
from dockwright.engine.http import Call, Transport
from dockwright.engine.images import ImageCalls, PullCalls
from dockwright.engine.logs import LogCalls
from dockwright.engine.networks import NetworkCalls
from dockwright.engine.types import Document, EngineStatistics, EngineVersion
from dockwright.engine.volumes import VolumeFileCalls
from dockwright.paths import home_directory

if TYPE_CHECKING:
    import docker


class Engine(
    ExecCalls,
    ExecSessionCalls,
    LogCalls,
    NetworkCalls,
    VolumeFileCalls,
    ImageCalls,
    PullCalls,
    BuildCalls,
):
    """A Docker-compatible engine, to be used from any number of threads.

    Every call has a timeout and raises `dockwright.errors.EngineError`, or one of its kinds.
    `connect` makes it.

    Attributes:
        endpoint: where it is.
        events: what happens on it.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.endpoint = transport.endpoint
        self.events = EventHub(transport)
        self.closed = False
        self._sdk: docker.DockerClient | None = None
        self._lock = threading.Lock()

    @property
    def sdk(self) -> docker.DockerClient:
        """docker-py's client on the same connections, for a user's own calls in one thread."""
        with self._lock:
            if self._sdk is None:
                self._sdk = sdk_client(self._http)
            return self._sdk

    def version(self) -> EngineVersion:
        """Return which engine this is, as it said when it was connected."""
        return self._http.version

    @property
    def can(self) -> Capabilities:
        """What this engine does, as far as engines differ."""
        return self._http.can

    def info(self) -> Document:
        """Return everything that the engine reports about itself and its host."""
        return self._http.document(Call("GET", "/info", "ask for the engine's state"))

    def ping(self) -> None:
        """Make the cheapest call; raises when the engine does not answer."""
        self._http.send(Call("GET", "/_ping", "ping the engine"))

    def statistics(self) -> EngineStatistics:
        """Return what all calls until now cost."""
        return self._http.statistics()

    def close(self) -> None:
        """End the events' thread and close the connections; `connect` then makes a new engine."""
        self.closed = True
        self.events.close()
        self._http.close()


_engines: dict[tuple[int, Endpoint], Engine] = {}
"""The engines of this process by pid (a fork has its own): connections are worth sharing."""
_connecting = threading.Lock()


def connect(
    endpoint: Endpoint | None = None, *, timeout_s: float = 60.0, pool_size: int = 16
) -> Engine:
    """Return the engine at `endpoint`; the same object each time, until it is closed.

    Args:
        endpoint: where it is; None: where the docker command would look.
        timeout_s: how long the engine may be silent during a call, in seconds.
        pool_size: how many idle connections are kept.

    Raises:
        EngineUnreachableError: nothing answers.
        EnginePermissionError: this user may not use it.
        SettingsError: the environment or the docker command's configuration is wrong.
    """
    where = endpoint or resolve_endpoint(os.environ, home_directory())
    key = (os.getpid(), where)
    with _connecting:
        engine = _engines.get(key)
        if engine is None or engine.closed:
            engine = _engines[key] = Engine(
                Transport(where, timeout_s=timeout_s, pool_size=pool_size)
            )
        return engine


def sdk_client(transport: Transport) -> docker.DockerClient:
    """Return a client that shares the transport's connections and API version."""
    import docker  # 0.2 s, only for those who ask for it

    # The address is replaced below: docker-py has no way to be given an adapter.
    client = docker.DockerClient(
        base_url="tcp://localhost:2375",
        version=transport.version.api,
        timeout=int(transport.timeout_s),
    )
    client.api.base_url = transport.mount(client.api)
    return client
