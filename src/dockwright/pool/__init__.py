"""The stacks that exist now: leased, reset, removed, and reaped where their owner died."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.pool.client import NoBrokerError, PoolClient, PoolOptions
    from dockwright.pool.factory import Factory, FactoryOptions
    from dockwright.pool.journal import KeptStacks, Workspace
    from dockwright.pool.lease import Lease, LeasedStack, Seed
    from dockwright.pool.pool import Pool, PoolStatistics
    from dockwright.pool.reaper import Estate, reap, remove, survey

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
        "journal": (
            "KeptStacks",
            "Workspace",
        ),
        "lease": (
            "Lease",
            "LeasedStack",
            "Seed",
        ),
        "pool": (
            "Pool",
            "PoolStatistics",
        ),
        "reaper": (
            "Estate",
            "reap",
            "remove",
            "survey",
        ),
    },
)
