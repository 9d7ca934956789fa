"""The host ports of one copy: chosen once, so that a container that starts again keeps them."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from dockwright.model import Port, StackSpec

Binding: TypeAlias = dict[str, str]
"""One entry of ``PortBindings``: ``{"HostIp": "127.0.0.1", "HostPort": "21043"}``."""

PortMode: TypeAlias = Literal["free", "declared", "preferred"]
"""Which host ports a copy has: free ones, those that its file declares, or those if they are free.
"""

PORT_MODES: tuple[PortMode, ...] = get_args(PortMode)

_LOWEST, _HIGHEST = 20_000, 29_999  # below the usual ephemeral ports and Kubernetes' node ports
_ATTEMPTS = 50
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def port_mode(text: str) -> PortMode:
    """Return a text as a mode; raises `ValueError` if it is not one of `PORT_MODES`."""
    return PORT_MODES[PORT_MODES.index(cast("PortMode", text))]


class FreePorts:
    """Chooses free host ports, each only once; shared by the copies of one owner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: set[int] = set()
        self._highest = _highest()

    def choose(self, protocol: str, *, local: bool) -> str:
        """Return a port that nothing uses; an empty text: the engine has to choose.

        Connections that leave this host never get such a port, so that a stopped service finds its
        port free when it starts again.

        Args:
            protocol: of the port.
            local: whether the engine publishes ports on this host, where they can be tried.
        """
        with self._lock:
            for _ in range(_ATTEMPTS if self._highest > _LOWEST else 0):
                port = random.randint(_LOWEST, self._highest)  # noqa: S311 - no secret
                if port not in self._given and not (local and is_taken(port, protocol)):
                    self._given.add(port)
                    return str(port)
        return ""


class HostPorts:
    """The host ports of one copy.

    Args:
        mode: which ports they are.
        free: chooses the free ones.
        local: whether the engine publishes ports on this host.
    """

    def __init__(self, mode: PortMode, free: FreePorts, *, local: bool) -> None:
        self._mode = mode
        self._free = free
        self._host = "127.0.0.1" if local else ""
        self._local = local
        self._moved: set[str] = set()
        self._bindings: dict[tuple[str, str], list[Binding]] = {}

    def of(self, service: str, ports: Iterable[Port]) -> dict[str, list[Binding]]:
        """Return the bindings of a service's ports, the same at each call, by ``8000/tcp``.

        Args:
            service: whose container publishes them.
            ports: to publish; several may lead to the same port of the container.
        """
        found: dict[str, list[Binding]] = {}
        declared = self._mode != "free" and service not in self._moved
        for port in ports:
            if declared and port.published:
                binding = {"HostIp": port.host_ip or self._host, "HostPort": port.published}
                found.setdefault(str(port), []).append(binding)
            elif str(port) not in found:
                found[str(port)] = self._chosen(service, port)
        return found

    def move(self, service: str, ports: Iterable[Port]) -> bool:
        """Choose other ports for a service, as one of its ports was taken after it was chosen.

        Returns:
            False: its ports are declared, and have to be those.
        """
        if self._mode == "declared" and any(port.published for port in ports):
            return False
        self._moved.add(service)
        for known in [known for known in self._bindings if known[0] == service]:
            del self._bindings[known]
        return True

    def _chosen(self, service: str, port: Port) -> list[Binding]:
        place = (service, str(port))
        if place not in self._bindings:
            chosen = self._free.choose(port.protocol, local=self._local)
            self._bindings[place] = [{"HostIp": self._host, "HostPort": chosen}]
        return self._bindings[place]


def declared_host_ports(spec: StackSpec) -> list[tuple[int, str]]:
    """Return the host ports that a stack declares, with their protocols, without ranges."""
    return [
        (int(port.published), port.protocol)
        for service in spec.services.values()
        for port in service.ports
        if port.published.isdecimal()
    ]


def is_taken(port: int, protocol: str = "tcp") -> bool:
    """Return whether something on this host uses a port."""
    if protocol not in _KINDS:
        return False
    with socket.socket(socket.AF_INET, _KINDS[protocol]) as probe:
        if protocol == "tcp":  # as servers do: closed connections do not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def _highest() -> int:
    try:
        lowest_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):  # not Linux
        return _HIGHEST
    return min(_HIGHEST, lowest_ephemeral - 1)
