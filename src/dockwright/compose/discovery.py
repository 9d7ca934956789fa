"""Finds the Compose files of a directory, as ``docker compose`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dockwright.compose.paths import cleaned
from dockwright.errors import ComposeError, NoComposeFileError
from dockwright.untrusted import is_file

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (  # Compose's order, which is not that of the names above
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)


def discover(
    start: Path,
    environ: Mapping[str, str],
    current: Path | None = None,
    *,
    required: bool = True,
) -> tuple[Path, ...]:
    """Return the Compose files that apply in a directory, in merge order.

    Args:
        start: the directory; its parents are searched when it has none.
        environ: ``COMPOSE_FILE`` (separated by ``COMPOSE_PATH_SEPARATOR``) wins over searching.
        current: what relative paths in ``COMPOSE_FILE`` mean; default: `start`.
        required: whether it is an error that the directory and its parents have none.

    Raises:
        NoComposeFileError: there is none.
        ComposeError: ``COMPOSE_FILE`` is empty or names a missing file.
    """
    start = start.absolute()
    listed = environ.get("COMPOSE_FILE")
    if listed is not None:
        separator = environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        return _listed(listed.split(separator), (current or start).absolute())
    for directory in (start, *start.parents):
        found = [directory / name for name in NAMES if is_file(directory / name)]
        if found:
            return (found[0], *_override(directory))
    if not required:
        return ()
    raise NoComposeFileError(
        f"no Compose file in {start} or above it{_no_files(start)}",
        hint=f"call it {NAMES[0]}, or name one: with dockwright_compose in pytest's settings, with "
        "-f for `dockwright stack`, or with COMPOSE_FILE for both",
    )


def _listed(names: list[str], base: Path) -> tuple[Path, ...]:
    if "" in names:
        raise ComposeError("COMPOSE_FILE is empty, or has an empty part", hint="unset it")
    files = tuple(cleaned(Path(name), base) for name in names)
    for file in files:
        if not is_file(file):
            raise ComposeError("no such file", file=file, hint="COMPOSE_FILE names it")
    return files


def _override(directory: Path) -> tuple[Path, ...]:
    return tuple(directory / name for name in _OVERRIDES if is_file(directory / name))[:1]


def _no_files(directory: Path) -> str:
    """Name what is called like a Compose file and is none."""
    found = [directory / name for name in NAMES if os.path.lexists(directory / name)]
    return "".join(f"; {each.name} is {_kind(each)}" for each in found)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a directory"
    return "a link that leads nowhere" if path.is_symlink() else "not a file"
