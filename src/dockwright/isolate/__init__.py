"""A world of its own for each worker: engine, network, processes and home directory."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.isolate.check import Check, checks
    from dockwright.isolate.planning import (
        Prepared,
        Request,
        enter,
        in_world,
        prepare,
        remove_dead_worlds,
        require_world,
    )

__all__ = [
    "Check",
    "Prepared",
    "Request",
    "checks",
    "enter",
    "in_world",
    "prepare",
    "remove_dead_worlds",
    "require_world",
]

__getattr__ = lazily(
    __name__,
    {
        "check": ("Check", "checks"),
        "planning": (
            "Prepared",
            "Request",
            "enter",
            "in_world",
            "prepare",
            "remove_dead_worlds",
            "require_world",
        ),
    },
)
