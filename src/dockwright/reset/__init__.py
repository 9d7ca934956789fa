"""Strategies that bring one service of a dirty stack back to its baseline."""

from types import MappingProxyType

from dockwright.reset.base import Constant, Maker, Recreate, Resettable, Strategy, choose
from dockwright.reset.volume import VolumeRollback

STRATEGIES = MappingProxyType[str, Maker](
    {"none": Constant, "recreate": Recreate, "volume": VolumeRollback}
)
"""The strategies by the name that ``x-dockwright: reset:`` gives them."""

__all__ = ["STRATEGIES", "Resettable", "Strategy", "choose"]
