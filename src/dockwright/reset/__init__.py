"""Strategies that bring one service of a dirty stack back to its baseline."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.reset.base import (
        DisposableServer,
        Maker,
        Manner,
        ResetStrategy,
        Resettable,
    )
    from dockwright.reset.generic import flush_to_disk
    from dockwright.reset.registry import (
        GROUP,
        STRATEGIES,
        Detected,
        Registry,
        choose,
        disposable_servers,
    )

__all__ = [
    "GROUP",
    "STRATEGIES",
    "Detected",
    "DisposableServer",
    "Maker",
    "Manner",
    "Registry",
    "ResetStrategy",
    "Resettable",
    "choose",
    "disposable_servers",
    "flush_to_disk",
]

__getattr__ = lazily(
    __name__,
    {
        "base": ("DisposableServer", "Maker", "Manner", "ResetStrategy", "Resettable"),
        "generic": ("flush_to_disk",),
        "registry": (
            "GROUP",
            "STRATEGIES",
            "Detected",
            "Registry",
            "choose",
            "disposable_servers",
        ),
    },
)
