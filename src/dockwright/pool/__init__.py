"""The stacks that exist now: leased, reset, removed, and reaped where their owner died."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.pool.client import NoBrokerError, PoolClient, PoolOptions
    from dockwright.pool.factory import Factory, FactoryOptions
    from dockwright.pool.kept import KeptStacks
    from dockwright.pool.lease import Lease, LeasedStack
    from dockwright.pool.pool import Pool
    from dockwright.pool.reaper import Estate, reap, remove, survey
    from dockwright.pool.seed import Seed
    from dockwright.pool.statistics import PoolStatistics
    from dockwright.pool.workspace import Workspace

__all__ = [
    "Estate",
    "Factory",
    "FactoryOptions",
    "KeptStacks",
    "Lease",
    "LeasedStack",
    "NoBrokerError",
    "Pool",
    "PoolClient",
    "PoolOptions",
    "PoolStatistics",
    "Seed",
    "Workspace",
    "reap",
    "remove",
    "survey",
]

__getattr__ = lazily(
    __name__,
    {
        "client": (
            "NoBrokerError",
            "PoolClient",
            "PoolOptions",
        ),
        "factory": (
            "Factory",
            "FactoryOptions",
        ),
        "kept": ("KeptStacks",),
        "lease": (
            "Lease",
            "LeasedStack",
        ),
        "pool": ("Pool",),
        "reaper": (
            "Estate",
            "reap",
            "remove",
            "survey",
        ),
        "seed": ("Seed",),
        "statistics": ("PoolStatistics",),
        "workspace": ("Workspace",),
    },
)
