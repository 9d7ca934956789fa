"""Files that several processes share: locks, and writes that happen completely or not at all."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RETRY_S = 0.05


@contextmanager
def locked(
    path: Path, *, shared: bool = False, create: bool = False, timeout_s: float | None = None
) -> Iterator[bool]:
    """Hold an advisory lock on a file or directory; the system frees it if the process dies.

    The lock counts only while `path` still is what was locked: its last holder may have removed or
    replaced it.

    Args:
        path: what to lock.
        shared: whether others may hold it, shared as well, at the same time.
        create: create `path` as an empty file, and its directory, where it does not exist.
        timeout_s: how long to wait for other holders, in seconds; None: as long as it takes.

    Yields:
        Whether the lock is held; False: `path` does not exist, or the time is over.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    if create:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            yield False
            return
        try:
            held = _flock(descriptor, shared=shared, deadline=deadline)
            if held and create and not _is_at(descriptor, path):
                continue  # its last holder removed it: lock the new one
            yield held and _is_at(descriptor, path)
            return
        finally:
            os.close(descriptor)


def _flock(descriptor: int, *, shared: bool, deadline: float | None) -> bool:
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if deadline is None:
        fcntl.flock(descriptor, operation)
        return True
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            threading.Event().wait(_RETRY_S)
        else:
            return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_file(path: Path, content: bytes, *, mode: int = 0o600, sync: bool = False) -> None:
    """Replace a file completely or not at all, whatever dies.

    Args:
        path: the file; its directory must exist.
        content: the new content.
        mode: its permissions.
        sync: whether to wait until the content is on the disk. `sync_directory` does the same for
            its name.

    Raises:
        OSError: it cannot be written; the old file is still there.
    """
    beside = path.with_name(f".{path.name.lstrip('.')}.new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(beside, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:  # Ctrl-C as well: no half-written file stays behind
        beside.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
