"""Where the services and processes of one copy listen, as the test's process reaches them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from typing import Any

from dockwright.engine import Engine
from dockwright.errors import StackError, UnknownServiceError
from dockwright.model import Address, Json, StackSpec
from dockwright.stack.naming import references
from dockwright.stack.native import NativeProcess

_LOOPBACK = "127.0.0.1"
_NEAR_S = 0.25  # a host with a route to a container is the container's own
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - the engine's words for "published on all addresses"


class Addresses:
    """Looks addresses up and remembers them until a container starts again.

    A service in the network of another one is reached through that one's container, and a service
    in the host's network through the engine's host.

    Args:
        engine: where the containers run.
        containers: ids by service; read, never changed.
        processes: by name; read, never changed.
        spec: of the stack, which declares what shares a network; None: nothing does.
    """

    def __init__(
        self,
        engine: Engine,
        containers: Mapping[str, str],
        processes: Mapping[str, NativeProcess],
        spec: StackSpec | None = None,
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._processes = processes
        self._ports: dict[str, tuple[str, ...]] = {}  # declared by those in another network
        self._hosts: dict[str, str | None] = {}  # whose network they are in; None: the host's
        if spec is not None:
            self._read_networks(spec)
        self._networks: dict[str, Mapping[str, Any]] = {}  # "NetworkSettings" as the engine has it
        self._reachable: bool | None = None

    def _read_networks(self, spec: StackSpec) -> None:
        network_of = references(spec).network_of
        for name, service in spec.services.items():
            if network_of(name) != name:
                self._hosts[name] = network_of(name)
                self._ports[name] = tuple(str(port) for port in service.declared_ports)

    def of(self, unit: str, port: int) -> Address:
        """Return the address that reaches `unit`'s own TCP port `port`.

        A published port is reached through the engine's host; any other through the container's
        own address, where this host can reach it.

        Raises:
            UnknownServiceError: no such unit.
            StackError: the service does not run, or the port cannot be reached; the message lists
                those that can.
        """
        if unit in self._processes:
            return Address(_LOOPBACK, self._processes[unit].port(port))
        if self._in_host_network(unit):
            self._check_runs(unit)
            return Address(self._engine.endpoint.host_ip, port)
        settings = self._settings(unit)
        published = (settings.get("Ports") or {}).get(f"{port}/tcp") or []
        for binding in published:
            return Address(self._host_of(binding), int(binding["HostPort"]))
        own = self._container_address(settings)
        if own and self.containers_reachable:
            return Address(own, port)
        self._check_runs(unit)
        known = ", ".join(sorted(settings.get("Ports") or {})) or "none"
        raise StackError(
            f"service {unit}: port {port} cannot be reached from this host (published: {known})",
            hint=f"declare it under services.{unit}.ports or .expose in the Compose file",
        )

    def nearest(self, unit: str, port: int) -> Address:
        """Return the address with the fewest relays on the way to `unit`'s own TCP port `port`.

        That is the container's own one where it answers; else the one that `of` returns.
        """
        if unit not in self._processes and self.containers_reachable:
            own = self._own_address(unit)
            if own and _answers(own, port):
                return Address(own, port)
        return self.of(unit, port)

    def host(self, unit: str) -> str:
        """Return the host under which `unit` is reached: that of its published ports, if any."""
        if unit in self._processes:
            return _LOOPBACK
        for text in self.published(unit).values():
            return text.rpartition(":")[0]
        own = self._own_address(unit)
        return own if own and self.containers_reachable else self._engine.endpoint.host_ip

    def published(self, unit: str) -> dict[str, str]:
        """Return ``host:port`` by the unit's own port, for every port that is published."""
        if unit in self._processes:
            ports = self._processes[unit].ports
            return {f"{asked}/tcp": f"{_LOOPBACK}:{given}" for asked, given in ports.items()}
        if unit in self._hosts:
            return self._published_elsewhere(unit)
        found: dict[str, str] = {}
        for port, bindings in (self._settings(unit).get("Ports") or {}).items():
            for binding in bindings or ():
                found.setdefault(port, f"{self._host_of(binding)}:{binding['HostPort']}")
        return found

    def _host_of(self, binding: Mapping[str, str]) -> str:
        """Return the host that reaches a published port."""
        host = binding["HostIp"]
        return self._engine.endpoint.host_ip if host in _ANY else host

    def _published_elsewhere(self, unit: str) -> dict[str, str]:
        """Return where the declared ports of a service in another network are reached."""
        self._known(unit)
        owner = self._hosts[unit]
        if owner is None:
            host = self._engine.endpoint.host_ip
            return {key: f"{host}:{key.partition('/')[0]}" for key in self._ports[unit]}
        published = self.published(owner)
        return {key: published[key] for key in self._ports[unit] if key in published}

    def _in_host_network(self, unit: str) -> bool:
        self._known(unit)
        return self._hosts.get(unit, unit) is None

    def _own_address(self, unit: str) -> str:
        return "" if self._in_host_network(unit) else self._container_address(self._settings(unit))

    def known(self) -> dict[str, Json]:
        """Return what was looked up and still holds, for another process to `adopt`."""
        return {
            unit: {key: settings.get(key) for key in ("Ports", "Networks", "IPAddress")}
            for unit, settings in self._networks.items()
        }

    def adopt(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what another process has looked up, instead of all that was known here."""
        self._networks = dict(known)

    def forget(self, unit: str) -> None:
        """Forget what is known of `unit`: it starts again, and its ports may change."""
        self._networks.pop(unit, None)

    @property
    def containers_reachable(self) -> bool:
        """Whether this host has a route to the containers' own addresses.

        It has one on Linux with a local rootful engine, but not if the engine runs in a virtual
        machine (Docker Desktop, Colima), in a user namespace (rootless) or elsewhere.
        """
        if self._reachable is None:
            self._reachable = self._has_route()
        return self._reachable

    def _has_route(self) -> bool:
        endpoint = self._engine.endpoint
        if sys.platform != "linux" or not endpoint.url.startswith("unix://"):
            return False
        info = self._engine.info()
        options = info.get("SecurityOptions") or []
        return info.get("OperatingSystem") != "Docker Desktop" and not any(
            "rootless" in option for option in options
        )

    def _known(self, unit: str) -> None:
        if unit not in self._containers:
            known = ", ".join([*self._containers, *self._processes]) or "none"
            raise UnknownServiceError(
                f"no service {unit!r} in this stack", hint=f"the services are: {known}"
            )

    def _settings(self, unit: str) -> Mapping[str, Any]:
        """Return the "NetworkSettings" of the container whose network `unit` is in."""
        owner = self._hosts.get(unit) or unit
        self._known(owner)
        if owner not in self._networks:
            details = self._engine.inspect_container(self._containers[owner])
            kind, _, other = str(details["HostConfig"]["NetworkMode"]).partition(":")
            if kind == "container":  # one that is not of this project
                details = self._engine.inspect_container(other)
            self._networks[owner] = details["NetworkSettings"]
        return self._networks[owner]

    def _check_runs(self, unit: str) -> None:
        state = self._engine.inspect_container(self._containers[unit])["State"]
        if not state["Running"]:
            raise StackError(
                f"service {unit} does not run: it exited with code {state['ExitCode']}",
                hint=f'stack.logs("{unit}") shows why; with a health check, the start would fail',
            )

    @staticmethod
    def _container_address(settings: Mapping[str, Any]) -> str:
        for network in (settings.get("Networks") or {}).values():
            if network.get("IPAddress"):
                return str(network["IPAddress"])
        return str(settings.get("IPAddress") or "")


def _answers(host: str, port: int) -> bool:
    """Return whether a port accepts connections: a firewall may still cut a container off."""
    try:
        with socket.create_connection((host, port), _NEAR_S):
            return True
    except OSError:
        return False
