"""Strategies that bring one service of a dirty stack back to its baseline."""

from dockwright.reset.base import Maker, Manner, ResetStrategy, Resettable
from dockwright.reset.generic import flush_to_disk
from dockwright.reset.registry import GROUP, Detected, Registry, choose

STRATEGIES = Registry()
"""The strategies by the name that ``x-dockwright: reset:`` gives them."""

__all__ = [
    "GROUP",
    "STRATEGIES",
    "Detected",
    "Maker",
    "Manner",
    "Registry",
    "ResetStrategy",
    "Resettable",
    "choose",
    "flush_to_disk",
]
