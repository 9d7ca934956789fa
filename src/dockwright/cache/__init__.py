"""Baselines of stacks, saved on disk under a key of everything they were made from."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.cache.builds import MISSING, Builds, build_key, image_id
    from dockwright.cache.files import FileDigests, NotCacheableError
    from dockwright.cache.frozen import FrozenPart, FrozenVolumes
    from dockwright.cache.keys import Key, Surroundings, content_key, left_out, start_key
    from dockwright.cache.savings import Savings, Total
    from dockwright.cache.store import (
        BaselineStore,
        Bounds,
        CorruptEntryError,
        Draft,
        Manifest,
        Part,
        Stored,
    )

__all__ = [
    "MISSING",
    "BaselineStore",
    "Bounds",
    "Builds",
    "CorruptEntryError",
    "Draft",
    "FileDigests",
    "FrozenPart",
    "FrozenVolumes",
    "Key",
    "Manifest",
    "NotCacheableError",
    "Part",
    "Savings",
    "Stored",
    "Surroundings",
    "Total",
    "build_key",
    "content_key",
    "image_id",
    "left_out",
    "start_key",
]

__getattr__ = lazily(
    __name__,
    {
        "builds": ("MISSING", "Builds", "build_key", "image_id"),
        "files": ("FileDigests", "NotCacheableError"),
        "frozen": (
            "FrozenPart",
            "FrozenVolumes",
        ),
        "keys": (
            "Key",
            "Surroundings",
            "content_key",
            "left_out",
            "start_key",
        ),
        "savings": ("Savings", "Total"),
        "store": (
            "BaselineStore",
            "Bounds",
            "CorruptEntryError",
            "Draft",
            "Manifest",
            "Part",
            "Stored",
        ),
    },
)
