"""Removal of what lies on disk, with an error that names what stays and why."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from dockwright.errors import CleanupError

_HINT = (
    "if a container that runs as another user wrote there, let it remove its files itself, "
    "or run it as your user"
)


def remove_path(path: Path) -> None:
    """Delete a file, a link (not what it points to), or a directory with all that is in it.

    What had been made read-only goes too; what is gone already is fine.

    Raises:
        CleanupError: something stays; names the first such thing.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise CleanupError(
            f"could not remove {path}: {exc.filename or path}: {exc.strerror}", hint=_HINT
        ) from exc


def _remove_tree(path: Path) -> None:
    for directory, _, _ in os.walk(path):
        _make_writable(Path(directory))
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        shutil.rmtree(path)  # once more, for the reason


def _make_writable(directory: Path) -> None:
    with suppress(OSError):  # another user's: its removal tells
        if directory.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
            directory.chmod(directory.stat().st_mode | stat.S_IRWXU)
