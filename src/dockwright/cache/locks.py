"""Locks on directories, between processes; the system frees those of a process that is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(directory: Path, *, shared: bool = False, wait: bool = False) -> Iterator[bool]:
    """Hold a lock on a directory.

    Args:
        directory: which.
        shared: whether others may hold it at the same time, shared as well.
        wait: whether to wait for those who hold it.

    Yields:
        Whether it is held; False: the directory does not exist, or somebody has it.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    manner = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, manner if wait else manner | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            # It may have gone, or another may have taken its place, while we waited.
            yield _is_at(descriptor, directory)
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, directory: Path) -> bool:
    try:
        there = directory.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
