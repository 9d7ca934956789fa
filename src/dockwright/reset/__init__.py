"""Strategies that bring one service of a dirty stack back to its baseline."""

from dockwright.reset.base import Maker, Manner, Resettable, Strategy
from dockwright.reset.detect import Detected
from dockwright.reset.registry import GROUP, Registry, choose
from dockwright.reset.rest import bring_to_disk

STRATEGIES = Registry()
"""The strategies by the name that ``x-dockwright: reset:`` gives them."""

__all__ = [
    "GROUP",
    "STRATEGIES",
    "Detected",
    "Maker",
    "Manner",
    "Registry",
    "Resettable",
    "Strategy",
    "bring_to_disk",
    "choose",
]
