"""Tiny images of several versions, so that there is something to update to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.engine import BuildRequest

if TYPE_CHECKING:
    from dockwright.engine import Engine


def build_version(engine: Engine, base: str, tag: str, version: str, context: Path) -> str:
    """Build an image that holds its version in ``/version``; return its id."""
    (context / "version").write_text(version)
    dockerfile = f"FROM {base}\nCOPY version /version\n"
    return engine.build_image(BuildRequest(context, (tag,), dockerfile_inline=dockerfile))
