"""Baselines that were expensive to make, kept on disk by what they were made from."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.cache.keys import Key, Surroundings, content_key, left_out
    from dockwright.cache.store import (
        BaselineStore,
        Bounds,
        CorruptEntryError,
        Draft,
        Manifest,
        NotCacheableError,
        Part,
        Stored,
    )

__all__ = [
    "BaselineStore",
    "Bounds",
    "CorruptEntryError",
    "Draft",
    "Key",
    "Manifest",
    "NotCacheableError",
    "Part",
    "Stored",
    "Surroundings",
    "content_key",
    "left_out",
]

__getattr__ = lazily(
    __name__,
    {
        "keys": (
            "Key",
            "Surroundings",
            "content_key",
            "left_out",
        ),
        "store": (
            "BaselineStore",
            "Bounds",
            "CorruptEntryError",
            "Draft",
            "Manifest",
            "NotCacheableError",
            "Part",
            "Stored",
        ),
    },
)
