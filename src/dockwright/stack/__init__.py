"""One running copy of a Compose project: its services, networks, volumes and native processes."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.stack.baseline import Baseline
    from dockwright.stack.cached import CachedStart
    from dockwright.stack.change import restore_set_aside, start_whole
    from dockwright.stack.create import injected_targets
    from dockwright.stack.engine_needs import engine_warnings
    from dockwright.stack.identity import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity
    from dockwright.stack.images import Images, ImageWatch
    from dockwright.stack.process import (
        MarkedProcess,
        NativeProcess,
        kill_processes,
        marked_processes,
    )
    from dockwright.stack.progress import Listener, StartTimes, Stopwatch, UnitEvent
    from dockwright.stack.runnable import require_runnable, sole_reason
    from dockwright.stack.stack import Stack
    from dockwright.stack.status import UnitStatus, statuses
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
    "Stack",
    "StackOptions",
    "StartTimes",
    "Stopwatch",
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
]

__getattr__ = lazily(
    __name__,
    {
        "baseline": ("Baseline",),
        "cached": ("CachedStart",),
        "change": ("restore_set_aside", "start_whole"),
        "create": ("injected_targets",),
        "engine_needs": ("engine_warnings",),
        "identity": (
            "COMPOSE_PROJECT",
            "COMPOSE_SERVICE",
            "Identity",
        ),
        "images": ("ImageWatch", "Images"),
        "process": (
            "MarkedProcess",
            "NativeProcess",
            "kill_processes",
            "marked_processes",
        ),
        "progress": (
            "Listener",
            "StartTimes",
            "Stopwatch",
            "UnitEvent",
        ),
        "runnable": ("require_runnable", "sole_reason"),
        "stack": ("Stack",),
        "status": (
            "UnitStatus",
            "statuses",
        ),
        "view": (
            "CommandResult",
            "StackOptions",
        ),
    },
)
