"""Finds the Compose files of a directory, as ``docker compose`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dockwright.compose.paths import absolute
from dockwright.errors import ComposeError

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")


def discover(
    start: Path, environ: Mapping[str, str], current: Path | None = None
) -> tuple[Path, ...]:
    """Return the Compose files that apply in a directory, in merge order.

    Args:
        start: the directory; its parents are searched when it has none.
        environ: ``COMPOSE_FILE`` (separated by ``COMPOSE_PATH_SEPARATOR``) wins over searching.
        current: what relative paths in ``COMPOSE_FILE`` mean; default: `start`.

    Raises:
        ComposeError: there is none, or a file that ``COMPOSE_FILE`` names is missing.
    """
    start = start.absolute()
    listed = environ.get("COMPOSE_FILE")
    if listed:
        separator = environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        base = (current or start).absolute()
        files = tuple(Path(absolute(name, base)) for name in listed.split(separator) if name)
        for file in files:
            if not file.is_file():
                raise ComposeError("no such file", file=file, hint="COMPOSE_FILE names it")
        return files
    for directory in (start, *start.parents):
        found = [directory / name for name in NAMES if (directory / name).is_file()]
        if found:
            return (found[0], *_override(directory))
    raise ComposeError(
        f"no Compose file in {start} or above it",
        hint=f"name one with -f or COMPOSE_FILE, or call it {NAMES[0]}",
    )


def _override(directory: Path) -> tuple[Path, ...]:
    names = [name.replace(".", ".override.", 1) for name in NAMES]
    return tuple(directory / name for name in names if (directory / name).is_file())[:1]
