"""What keeps a baseline from being kept or used; never the reason for a start to fail."""

from __future__ import annotations

from dockwright.errors import StoreError


class NotCacheableError(StoreError):
    """What a stack starts from, or leaves, cannot be kept: the message says why."""


class CorruptEntryError(StoreError):
    """An entry does not hold what was written to it."""
