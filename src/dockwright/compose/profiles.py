"""Which services a set of active profiles enables."""

from __future__ import annotations

from collections.abc import Iterable

from dockwright.compose.source import Tree


def is_enabled(service: Tree, active: Iterable[str]) -> bool:
    """Tell whether a service has no profile, or one that is active; ``*`` activates all."""
    wanted = service.get("profiles") or []
    chosen = set(active)
    return not wanted or "*" in chosen or bool(chosen & set(wanted))
