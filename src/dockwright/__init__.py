"""dockwright: integration tests against real Docker stacks, fast, isolated and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockwright.errors import DockwrightError
    from dockwright.model import Address
    from dockwright.pool import LeasedStack
    from dockwright.pytest_plugin.markers import module_cleanup, stateful, stateless
    from dockwright.resources import (
        ArtifactTracker,
        ComposeProject,
        StackServiceManager,
        TemporaryBackupDir,
        TemporaryConfigDir,
        TestArtifactTracker,
    )
    from dockwright.stack import CommandResult
    from dockwright.wait import (
        poll_for_container_stop,
        poll_for_file_deletion,
        poll_for_process_exit,
        poll_for_service_health,
    )

__version__ = "0.1.0"

__all__ = [
    "Address",
    "ArtifactTracker",
    "CommandResult",
    "ComposeProject",
    "DockwrightError",
    "LeasedStack",
    "StackServiceManager",
    "TemporaryBackupDir",
    "TemporaryConfigDir",
    "TestArtifactTracker",
    "__version__",
    "module_cleanup",
    "poll_for_container_stop",
    "poll_for_file_deletion",
    "poll_for_process_exit",
    "poll_for_service_health",
    "stateful",
    "stateless",
]

_HOMES = {
    "Address": "model",
    "ArtifactTracker": "resources",
    "CommandResult": "stack",
    "ComposeProject": "resources",
    "DockwrightError": "errors",
    "LeasedStack": "pool",
    "StackServiceManager": "resources",
    "TemporaryBackupDir": "resources",
    "TemporaryConfigDir": "resources",
    "TestArtifactTracker": "resources",
    "module_cleanup": "pytest_plugin.markers",
    "poll_for_container_stop": "wait",
    "poll_for_file_deletion": "wait",
    "poll_for_process_exit": "wait",
    "poll_for_service_health": "wait",
    "stateful": "pytest_plugin.markers",
    "stateless": "pytest_plugin.markers",
}


def __getattr__(name: str) -> object:
    # Loading the plugin must cost nearly nothing: each public name comes when it is used.
    if name not in _HOMES:
        raise AttributeError(f"module 'dockwright' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dockwright.{_HOMES[name]}"), name)
