"""The files that a start reads, as hashes, bounded in size; what is unchanged is not read again."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dockwright.errors import StoreError

MOST_BYTES = 64 << 20
"""More than this below one mount (a dependency tree, a data set) is not worth reading each time."""

MOST_FILES = 10_000
MOST_SEEN = 200_000
"""More than this is not even worth looking at each time."""

_CHUNK_BYTES = 1 << 20

_RECENT_NS = 2_000_000_000
"""A file changed so lately may change once more without a new time: it is read again."""

_HOST = frozenset(map(Path, ("/", "/dev", "/proc", "/run", "/sys", "/var/run")))
"""What a monitor mounts to watch the machine: it always changes, and no start depends on it."""

_TOOLS = re.compile(r"__pycache__|\.git|\.(pytest|mypy|ruff)_cache|\.hypothesis|\.coverage(\..*)?")
_TESTS = re.compile(r"conftest\.py|test_.*\.py|.*_test\.py")
"""Tests and what tools leave: in a mounted checkout they change, and no stack with them."""


class NotCacheableError(StoreError):
    """The baseline of a stack cannot be saved; the message says why."""


class _Stamp(NamedTuple):
    """What changes whenever a file is written or replaced."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    device: int


class FileDigests:
    """Hashes of files and directories; any thread may ask.

    Args:
        clock_ns: returns the time in the precision of file times, in nanoseconds.
        tests: whether test files in a directory count as well.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns, *, tests: bool = False) -> None:
        self._clock_ns = clock_ns
        self._tests = tests
        self._known: dict[Path, tuple[_Stamp, bytes]] = {}

    def digest(self, path: Path) -> str:
        """Return a hash over a file or everything in a directory: names, modes and contents.

        Neither owners nor times count: another checkout of the same files has the same hash.

        Raises:
            NotCacheableError: it cannot be read, or it holds too much.
        """
        found = hashlib.sha256()
        left = MOST_BYTES
        try:
            for number, (name, file) in enumerate(_walk(path, tests=self._tests)):
                if number >= MOST_FILES:
                    raise NotCacheableError(f"{path} holds more than {MOST_FILES} files")
                status = file.lstat()
                left -= status.st_size if stat.S_ISREG(status.st_mode) else 0
                if left < 0:
                    raise NotCacheableError(f"{path} holds more than {MOST_BYTES >> 20} MB")
                found.update(f"{name}\0{status.st_mode:o}\0".encode(errors="surrogateescape"))
                found.update(self._content(file, status))
        except OSError as failure:
            raise NotCacheableError(f"{failure.filename or path}: {failure.strerror}") from failure
        return found.hexdigest()

    def state(self, path: Path) -> str:
        """Return a text that changes with a file or what is in a directory; it always has one.

        It is the `digest`, or made of names, sizes and times where that would read too much. Of
        more than `MOST_SEEN` files it is another one each time.
        """
        if path in _HOST:
            return "of the host"
        try:
            return self.digest(path)
        except NotCacheableError:
            return _stamps(path, tests=self._tests)

    def listed(self, root: Path, names: Iterable[str]) -> str:
        """Return a hash over the files of a directory that have these names."""
        found = hashlib.sha256()
        for name in sorted(names):
            if any(_TOOLS.fullmatch(part) for part in Path(name).parts):
                continue
            try:
                status = (root / name).lstat()
                content = (
                    b"" if stat.S_ISDIR(status.st_mode) else self._content(root / name, status)
                )
            except OSError as failure:
                status, content = None, str(failure.errno).encode()
            mode = status.st_mode if status else 0
            found.update(f"{name}\0{mode:o}\0".encode(errors="surrogateescape") + content)
        return found.hexdigest()

    def _content(self, file: Path, status: os.stat_result) -> bytes:
        if stat.S_ISLNK(status.st_mode):
            return os.fsencode(file.readlink())
        if not stat.S_ISREG(status.st_mode):
            return b""
        stamp = _Stamp(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
        )
        known = self._known.get(file)
        if known is not None and known[0] == stamp:
            return known[1]
        content = _read(file)
        if self._clock_ns() - max(stamp.modified_ns, stamp.changed_ns) > _RECENT_NS:
            self._known[file] = stamp, content
        return content


def _read(file: Path) -> bytes:
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            content.update(chunk)
    return content.digest()


def _stamps(path: Path, *, tests: bool) -> str:
    """Return a hash over names, sizes and times; what may not be looked at counts as it is."""
    found = hashlib.sha256()
    for number, (name, file) in enumerate(_walk(path, lambda _: None, tests=tests)):
        if number >= MOST_SEEN:
            return f"too much to look at: {secrets.token_hex(8)}"
        try:
            status = file.lstat()
        except OSError:
            continue
        described = (
            f"{name}\0{status.st_mode:o}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\0"
        )
        found.update(described.encode(errors="surrogateescape"))
    return found.hexdigest()


def _raise(failure: OSError) -> None:
    raise failure


def _walk(
    path: Path, onerror: Callable[[OSError], None] = _raise, *, tests: bool
) -> Iterator[tuple[str, Path]]:
    """Yield all that is at and below a path, with names relative to it, in a fixed order.

    What tools leave in a checkout is passed over, and unless `tests` is given also test files.
    """
    if not path.exists():
        return  # the engine makes an empty directory
    root = path.resolve()
    yield ".", root
    if not root.is_dir():
        return
    for directory, names, files in os.walk(root, onerror=onerror):
        names[:] = sorted(name for name in names if not _TOOLS.fullmatch(name))
        files = [name for name in files if not _TOOLS.fullmatch(name)]
        files = [name for name in files if tests or not _TESTS.fullmatch(name)]
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        for name in sorted([*files, *names]):
            yield str((here / name).relative_to(root)), here / name
        names[:] = [name for name in names if name not in links]
