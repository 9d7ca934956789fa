"""The files of the host that a stack initialises itself from, as hashes, bounded in size."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dockwright.cache.errors import NotCacheableError

MOST_BYTES = 64 << 20
"""More than this below one mount (a dependency tree, a data set) is not worth reading each time."""

MOST_FILES = 10_000
_CHUNK_BYTES = 1 << 20


def digest(path: Path) -> str:
    """Return a hash over a file or everything in a directory: names, modes and contents.

    Neither owners nor times count: another checkout of the same files has the same hash.

    Raises:
        NotCacheableError: it cannot be read, or it holds too much.
    """
    found = hashlib.sha256()
    left = MOST_BYTES
    try:
        for number, (name, file) in enumerate(_walk(path)):
            if number >= MOST_FILES:
                raise NotCacheableError(f"{path} holds more than {MOST_FILES} files")
            status = file.lstat()
            left -= status.st_size if stat.S_ISREG(status.st_mode) else 0
            if left < 0:
                raise NotCacheableError(f"{path} holds more than {MOST_BYTES >> 20} MB")
            found.update(f"{name}\0{status.st_mode:o}\0".encode(errors="surrogateescape"))
            found.update(_content(file, status.st_mode))
    except OSError as failure:
        raise NotCacheableError(f"{failure.filename or path}: {failure.strerror}") from failure
    return found.hexdigest()


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield all that is at and below a path, with names relative to it, in a fixed order."""
    if not path.exists():
        return  # the engine makes an empty directory
    root = path.resolve()
    yield ".", root
    if not root.is_dir():
        return
    for directory, names, files in os.walk(root, onerror=_raise):
        names.sort()
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        for name in sorted([*files, *names]):
            yield str((here / name).relative_to(root)), here / name
        names[:] = [name for name in names if name not in links]


def _content(file: Path, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(file.readlink())
    content = hashlib.sha256()
    if stat.S_ISREG(mode):
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.update(chunk)
    return content.digest()


def _raise(failure: OSError) -> None:
    raise failure
