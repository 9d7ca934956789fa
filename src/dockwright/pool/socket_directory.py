"""The user's private directory for sockets, with a path that is short enough for them."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dockwright.errors import LeaseError

_DIRECTORY_LIMIT = 78  # so that a socket's path fits: 104 bytes on macOS, 108 on Linux


def runtime_directory() -> Path:
    """Return the user's private directory for sockets; created with mode 0700.

    Raises:
        LeaseError: there can be none, or it belongs to somebody else.
    """
    tried = []
    for directory in _candidates():
        if len(str(directory)) > _DIRECTORY_LIMIT:
            tried.append(f"{directory}: its path is too long for a socket")
            continue
        try:
            return _made_private(directory)
        except OSError as failure:
            tried.append(f"{directory}: {failure.strerror}")
    raise LeaseError(
        "there is no place for the broker's socket: " + "; ".join(tried),
        hint="set XDG_RUNTIME_DIR to a directory of your own, with a short path",
    )


def _candidates() -> Iterator[Path]:
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and os.access(base, os.W_OK):
        yield Path(base) / "dockwright"
    name = f"dockwright-{os.getuid()}"
    with suppress(FileNotFoundError):  # no directory for temporary files can be written to
        yield Path(tempfile.gettempdir()) / name
    yield Path("/tmp") / name  # noqa: S108 - it is looked at whose it is


def _made_private(directory: Path) -> Path:
    directory.mkdir(exist_ok=True, mode=0o700)
    status = directory.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise LeaseError(
            f"{directory} belongs to another user",
            hint="set XDG_RUNTIME_DIR to a directory of your own",
        )
    directory.chmod(0o700)
    return directory
