"""The floor: the example's containers by bare API calls, and their readiness asked for directly.

Nothing that starts these containers on this engine can be faster than this by much: what does not
depend on each other happens at once, and each service is asked from the host, every 5 ms, whether
it serves.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from dockwright.engine import Engine, parallel
from dockwright.model import Json

_PAUSE_S = 0.005
_PATIENCE_S = 60.0

# PostgreSQL's start-up message, version 3.0: a server that is ready asks for authentication ("R").
_LOGIN = struct.pack("!I", 196608) + b"user\0shop\0database\0shop\0\0"
_DATABASE = (struct.pack("!I", len(_LOGIN) + 4) + _LOGIN, b"R")
_CACHE = (b"PING\r\n", b"+PONG")
_WEB = (b"GET /health HTTP/1.0\r\n\r\n", b"HTTP/1.0 200")
_Talk: TypeAlias = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Floor:
    """One copy of the example's stack without dockwright's stack, wait or pool.

    Attributes:
        engine: where it runs.
        name: begins the names of all that is made.
        labels: of all that is made.
        web_image: the application's image.
        shop: the example's directory.
    """

    engine: Engine
    name: str
    labels: Mapping[str, str]
    web_image: str
    shop: Path

    def start(self) -> None:
        """Create and start everything; return when the application answers."""
        labels = dict(self.labels)
        tasks: list[Callable[[], object]] = [
            partial(self.engine.create_network, self.name, {"Labels": labels}),
            partial(self.engine.create_volume, f"{self.name}-db", {"Labels": labels}),
            partial(self.engine.create_volume, f"{self.name}-cache", {"Labels": labels}),
        ]
        parallel.run(tasks)
        with ThreadPoolExecutor(3) as workers:
            web = workers.submit(self._create, "web", 8000, self._web())
            backends = [
                workers.submit(self._run, "db", 5432, self._database(), _DATABASE),
                workers.submit(self._run, "cache", 6379, self._cache(), _CACHE),
            ]
            for backend in backends:
                backend.result()
            self._start(web.result(), 8000, _WEB)

    def remove(self) -> None:
        """Remove everything that exists of it."""
        containers = self.engine.list_containers(self.labels)
        mine = [each["Id"] for each in containers if each["Names"][0].startswith(f"/{self.name}-")]
        parallel.run([partial(self.engine.remove_container, each) for each in mine])
        self.engine.remove_network(self.name)
        for volume in ("db", "cache"):
            self.engine.remove_volume(f"{self.name}-{volume}")

    def _run(self, service: str, port: int, body: dict[str, Json], talk: _Talk) -> None:
        self._start(self._create(service, port, body), port, talk)

    def _create(self, service: str, port: int, body: dict[str, Json]) -> str:
        host: dict[str, Json] = {
            "Binds": body.pop("Binds", []),
            "NetworkMode": self.name,
            "PortBindings": {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        }
        config: dict[str, Json] = {
            **body,
            "Labels": dict(self.labels),
            "ExposedPorts": {f"{port}/tcp": {}},
            "HostConfig": host,
            "NetworkingConfig": {"EndpointsConfig": {self.name: {"Aliases": [service]}}},
        }
        return self.engine.create_container(f"{self.name}-{service}", config)

    def _start(self, container: str, port: int, talk: _Talk) -> None:
        self.engine.start_container(container)
        details = self.engine.inspect_container(container)
        host_port = int(details["NetworkSettings"]["Ports"][f"{port}/tcp"][0]["HostPort"])
        deadline = time.monotonic() + _PATIENCE_S
        while not _answers(host_port, *talk):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: port {port} serves nobody")
            time.sleep(_PAUSE_S)

    def _database(self) -> dict[str, Json]:
        return {
            "Image": "postgres:15",
            "Env": ["POSTGRES_USER=shop", "POSTGRES_PASSWORD=shop", "POSTGRES_DB=shop"],
            "Binds": [
                f"{self.name}-db:/var/lib/postgresql/data",
                f"{self.shop}/db/initdb.d:/docker-entrypoint-initdb.d:ro",
            ],
        }

    def _cache(self) -> dict[str, Json]:
        return {
            "Image": "redis:7",
            "Cmd": ["redis-server", "--appendonly", "yes"],
            "Binds": [f"{self.name}-cache:/data"],
        }

    def _web(self) -> dict[str, Json]:
        return {
            "Image": self.web_image,
            "Env": [
                "DATABASE_URL=postgresql://shop:shop@db:5432/shop",
                "CACHE_URL=redis://cache:6379/0",
                "CART_TTL_S=900",
            ],
        }


def _answers(port: int, question: bytes, answer: bytes) -> bool:
    """Tell whether a server answers a few bytes as it does when it serves: the cheapest check."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(64).startswith(answer)
    except OSError:
        return False
