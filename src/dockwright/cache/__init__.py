"""Baselines that were expensive to make, kept on disk by what they were made from."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.cache.draft import Draft
    from dockwright.cache.errors import CorruptEntryError, NotCacheableError
    from dockwright.cache.keys import Key, Surroundings, content_key, left_out
    from dockwright.cache.manifest import Manifest, Part
    from dockwright.cache.store import BaselineStore, Bounds, Stored

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
        "draft": ("Draft",),
        "errors": (
            "CorruptEntryError",
            "NotCacheableError",
        ),
        "keys": (
            "Key",
            "Surroundings",
            "content_key",
            "left_out",
        ),
        "manifest": (
            "Manifest",
            "Part",
        ),
        "store": (
            "BaselineStore",
            "Bounds",
            "Stored",
        ),
    },
)
