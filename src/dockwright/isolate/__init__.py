"""A world of its own for each worker: engine, network, processes and home directory."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.isolate.check import Check, checks
    from dockwright.isolate.planning import (
        IsolationRequest,
        Prepared,
        enter,
        in_world,
        prepare,
        remove_dead_worlds,
        require_world,
    )
    from dockwright.isolate.rights import become_root, is_root, require_possible

__all__ = [
    "Check",
    "IsolationRequest",
    "Prepared",
    "become_root",
    "checks",
    "enter",
    "in_world",
    "is_root",
    "prepare",
    "remove_dead_worlds",
    "require_possible",
    "require_world",
]

__getattr__ = lazily(
    __name__,
    {
        "check": ("Check", "checks"),
        "planning": (
            "Prepared",
            "IsolationRequest",
            "enter",
            "in_world",
            "prepare",
            "remove_dead_worlds",
            "require_world",
        ),
        "rights": ("become_root", "is_root", "require_possible"),
    },
)
