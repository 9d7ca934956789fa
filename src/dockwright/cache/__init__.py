"""Baselines of stacks, saved on disk under a key of everything they were made from."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.cache.files import FileDigests
    from dockwright.cache.frozen import FrozenPart, FrozenVolumes
    from dockwright.cache.keys import Key, Surroundings, content_key, left_out, start_key
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
    "FileDigests",
    "FrozenPart",
    "FrozenVolumes",
    "Key",
    "Manifest",
    "NotCacheableError",
    "Part",
    "Stored",
    "Surroundings",
    "content_key",
    "left_out",
    "start_key",
]

__getattr__ = lazily(
    __name__,
    {
        "files": ("FileDigests",),
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
