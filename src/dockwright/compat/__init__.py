"""Runs suites that were written for other tools on the pool; imported only where switched on."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dockwright.compat.imports import ChangesOnImport

if TYPE_CHECKING:
    from dockwright.compat.adapter import Adapter, Host

_MODULES = {
    "testcontainers": {
        "testcontainers.compose.compose": "compose",
        "testcontainers.core.container": "container",
        "testcontainers.core.docker_client": "docker_client",
        "testcontainers.core.network": "network",
        "testcontainers.core.wait_strategies": "wait_strategies",
        "testcontainers.core.waiting_utils": "waiting_utils",
    },
    "pytest-databases": {"pytest_databases._service": "service"},
}
"""For each tool the modules that are changed, each by a method of its class of patches."""

TOOLS = tuple(_MODULES)


def change(tools: Iterable[str], host: Host) -> ChangesOnImport:
    """Have the containers of some tools leased, from now on or when they are imported.

    Args:
        tools: of `TOOLS`.
        host: the test run.

    Returns:
        What changes modules on their import, to be uninstalled at the end of the run.
    """

    @cache
    def adapter() -> Adapter:
        from dockwright.compat.adapter import Adapter  # imported by the first start

        return Adapter(host)

    @cache
    def patches(tool: str) -> Any:
        if tool == "testcontainers":
            from dockwright.compat.testcontainers import Patches

            return Patches(adapter)
        from dockwright.compat.pytest_databases import Services

        return Services(adapter)

    def apply(tool: str, module: ModuleType) -> None:
        getattr(patches(tool), _MODULES[tool][module.__name__])(module)

    found = {name: partial(apply, tool) for tool in tools for name in _MODULES[tool]}
    changes = ChangesOnImport(found)
    changes.install()
    return changes
