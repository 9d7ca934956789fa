"""References between services: by a namespace, ``volumes_from``, or a container's name.

The values are those of Compose's own keys: ``service:NAME`` and ``container:NAME`` for namespaces,
``NAME`` and ``container:NAME`` with an optional mode for ``volumes_from``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
"""The keys by which a service may share a namespace of another container."""


class References:
    """The references between the services of one project.

    Args:
        project: its name.
        services: the service's mappings, by name.
    """

    def __init__(self, project: str, services: Mapping[str, Mapping[str, Any]]) -> None:
        self._services = services
        self._called = {f"{project}{mark}{name}{mark}1": name for name in services for mark in "_-"}
        for name, service in services.items():
            if service.get("container_name"):
                self._called[str(service["container_name"])] = name

    def called(self, container: str) -> str | None:
        """Return the service whose container has this name, declared or by default.

        Args:
            container: a name such as ``shop-db`` (``container_name``), or ``shop-db-1``.
        """
        return self._called.get(container)

    def shared(self, value: str) -> str | None:
        """Return the service whose namespace a value such as ``service:db`` means, if any."""
        kind, _, name = value.partition(":")
        if kind == "service":
            return name if name in self._services else None
        return self.called(name) if kind == "container" else None

    def lender(self, value: str) -> str | None:
        """Return the service whose volumes an entry of ``volumes_from`` means, if any."""
        container = value.startswith("container:")
        name = value.removeprefix("container:").partition(":")[0]
        if container:
            return self.called(name)
        return name if name in self._services else None

    def needed_by(self, name: str) -> set[str]:
        """Return the services whose containers that of `name` needs."""
        service = self._services[name]
        found = {self.shared(str(service.get(key) or "")) for key in NAMESPACES}
        found |= {self.lender(str(entry)) for entry in service.get("volumes_from") or ()}
        return {each for each in found if each is not None}

    def network_of(self, name: str) -> str | None:
        """Return the service whose network `name` is in, often itself; None: the host's.

        A container outside the project counts as a network of its own.
        """
        mode = str(self._services[name].get("network_mode") or "")
        if mode == "host":
            return None
        other = self.shared(mode)
        return name if other in (None, name) else self.network_of(str(other))

    def with_dependencies(
        self, names: Iterable[str], processes: Mapping[str, Mapping[str, Any]]
    ) -> set[str]:
        """Return services and native processes, and everything that they depend on.

        Args:
            names: of services and processes of the project.
            processes: the native processes, by name.
        """
        found: set[str] = set()
        ahead = list(names)
        while ahead:
            name = ahead.pop()
            described = self._services.get(name) or processes.get(name)
            if name in found or described is None:  # an optional dependency may be disabled
                continue
            found.add(name)
            ahead += described.get("depends_on") or ()
            ahead += self.needed_by(name) if name in self._services else ()
        return found
