"""One running copy of a Compose project: its services, networks, volumes and native processes."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.stack.baseline import Baseline, ServiceReset
    from dockwright.stack.cached_start import CachedStart
    from dockwright.stack.create import injected_targets, require_runnable, sole_reason
    from dockwright.stack.engine_needs import engine_warnings
    from dockwright.stack.images import Images, ImageWatch
    from dockwright.stack.naming import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity, volumes_of_copy
    from dockwright.stack.native import (
        MarkedProcess,
        NativeProcess,
        kill_processes,
        marked_processes,
    )
    from dockwright.stack.stack import Stack
    from dockwright.stack.start import Listener, StartProgress, UnitEvent
    from dockwright.stack.status import UnitStatus, statuses
    from dockwright.stack.upgrade import restore_set_aside, start_whole
    from dockwright.stack.view import CommandResult, StackOptions

__all__ = [
    "COMPOSE_PROJECT",
    "COMPOSE_SERVICE",
    "Baseline",
    "CachedStart",
    "CommandResult",
    "Identity",
    "ImageWatch",
    "Images",
    "Listener",
    "MarkedProcess",
    "NativeProcess",
    "ServiceReset",
    "Stack",
    "StackOptions",
    "StartProgress",
    "UnitEvent",
    "UnitStatus",
    "engine_warnings",
    "injected_targets",
    "kill_processes",
    "marked_processes",
    "require_runnable",
    "restore_set_aside",
    "sole_reason",
    "start_whole",
    "statuses",
    "volumes_of_copy",
]

__getattr__ = lazily(
    __name__,
    {
        "baseline": ("Baseline", "ServiceReset"),
        "cached_start": ("CachedStart",),
        "create": (
            "injected_targets",
            "require_runnable",
            "sole_reason",
        ),
        "engine_needs": ("engine_warnings",),
        "images": (
            "ImageWatch",
            "Images",
        ),
        "naming": (
            "COMPOSE_PROJECT",
            "COMPOSE_SERVICE",
            "Identity",
            "volumes_of_copy",
        ),
        "native": (
            "MarkedProcess",
            "NativeProcess",
            "kill_processes",
            "marked_processes",
        ),
        "stack": ("Stack",),
        "start": (
            "Listener",
            "StartProgress",
            "UnitEvent",
        ),
        "status": (
            "UnitStatus",
            "statuses",
        ),
        "upgrade": (
            "restore_set_aside",
            "start_whole",
        ),
        "view": (
            "CommandResult",
            "StackOptions",
        ),
    },
)
