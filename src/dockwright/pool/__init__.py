"""The stacks that exist now: leased, reset, removed, and reaped where their owner died."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.pool.client import NoBrokerError, PoolClient, PoolOptions
    from dockwright.pool.factory import Factory, FactoryOptions
    from dockwright.pool.journal import RetainedStacks, Workspace
    from dockwright.pool.lease import Lease, LeasedStack, Seed, SeedKey
    from dockwright.pool.pool import Pool, PoolStatistics
    from dockwright.pool.reaper import OwnedResources, reap, remove, survey

__all__ = [
    "Factory",
    "FactoryOptions",
    "Lease",
    "LeasedStack",
    "NoBrokerError",
    "OwnedResources",
    "Pool",
    "PoolClient",
    "PoolOptions",
    "PoolStatistics",
    "RetainedStacks",
    "Seed",
    "SeedKey",
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
            "RetainedStacks",
            "Workspace",
        ),
        "lease": (
            "Lease",
            "LeasedStack",
            "Seed",
            "SeedKey",
        ),
        "pool": (
            "Pool",
            "PoolStatistics",
        ),
        "reaper": (
            "OwnedResources",
            "reap",
            "remove",
            "survey",
        ),
    },
)
