"""The life of one long-lived stack: installed, checked, updated, backed up, removed."""

from dockwright.lifecycle.lock import exclusive
from dockwright.lifecycle.longlived import LONG_LIVED, long_lived_stack

__all__ = ["LONG_LIVED", "exclusive", "long_lived_stack"]
