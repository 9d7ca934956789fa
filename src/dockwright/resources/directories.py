"""Temporary directories of a test: for configuration, and for backups with a limit of size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import TracebackType

from dockwright._text import format_size
from dockwright.errors import SizeLimitError, SpaceError
from dockwright.resources.tracker import ResourceOwner, raise_or_note

CONFIG_VARIABLE = "DOCKWRIGHT_CONFIG_DIR"


class TemporaryConfigDir:
    """An empty directory, mode 0700, that an environment variable names inside of the block.

    At the end the variable is put back exactly as it was (one that was not set is not set again),
    and the directory is removed with all that is in it; also when an exception passes. If the
    process is killed, the next run of the project removes it, or ``dockwright clean``.

    Blocks may be nested: each has a directory of its own. One object may be used again, but not
    within its own block.

    Args:
        variable: the environment variable.
        environ: where it is set; default: this process's environment.
        root: the project that the directory belongs to; default: the current directory.
    """

    def __init__(
        self,
        variable: str = CONFIG_VARIABLE,
        *,
        environ: MutableMapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        if not variable or "=" in variable or "\0" in variable:
            raise ValueError(f"an environment variable cannot be called {variable!r}")
        self.variable = variable
        self._environ = os.environ if environ is None else environ
        self._root = root
        self._holding: ResourceOwner | None = None
        self._before: str | None = None

    def __enter__(self) -> Path:
        """Make the directory, set the variable, and return the directory's path."""
        if self._holding is not None:
            raise RuntimeError("this TemporaryConfigDir is open already; to nest, make another one")
        holding = ResourceOwner(f"configuration directory of {self.variable}", self._root)
        path = holding.directory()
        self._holding = holding
        self._before = self._environ.get(self.variable)
        self._environ[self.variable] = str(path)
        return path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holding, self._holding = self._holding, None
        if holding is None:
            return
        if self._before is None:
            self._environ.pop(self.variable, None)
        else:
            self._environ[self.variable] = self._before
        raise_or_note(holding.whose, holding.dispose(None), error)


def files_below(directory: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a directory with their sizes in bytes; of hard links only one."""
    seen: set[tuple[int, int]] = set()
    for parent, _, names in os.walk(directory):
        for name in names:
            file = Path(parent, name)
            try:
                found = file.lstat()
            except FileNotFoundError:
                continue  # somebody removes it just now
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                yield file, found.st_size


class TemporaryBackupDir:
    """An empty directory, mode 0700, removed at the end with all that is in it.

    If the process is killed, the next run of the project removes it, or ``dockwright clean``.

    Args:
        base: where to make it; default: in the user's state directory.
        needs_bytes: how much free space there has to be before anything begins.
        limit_bytes: how much it may hold; None: as much as there is room.
        keep_on_failure: whether it stays when the block ends with an error or beyond its limit,
            until ``dockwright clean --kept``.
        root: the project that the directory belongs to; default: the current directory.
    """

    def __init__(
        self,
        *,
        base: Path | None = None,
        needs_bytes: int = 0,
        limit_bytes: int | None = None,
        keep_on_failure: bool = False,
        root: Path | None = None,
    ) -> None:
        if needs_bytes < 0 or (limit_bytes is not None and limit_bytes < 0):
            raise ValueError("needs_bytes and limit_bytes are sizes: they cannot be negative")
        self._base = base
        self._needs_bytes = needs_bytes
        self._limit_bytes = limit_bytes
        self._keep_on_failure = keep_on_failure
        self._root = root
        self._keep = False
        self._holding: ResourceOwner | None = None
        self._path: Path | None = None
        self.kept = ""
        """What was kept at the end and how to remove it, or an empty text."""

    def __enter__(self) -> Path:
        """Make the directory and return its path.

        Raises:
            SpaceError: there is less room than `needs_bytes`.
        """
        if self._holding is not None:
            raise RuntimeError("this TemporaryBackupDir is open already; to nest, make another one")
        holding = ResourceOwner("backup directory", self._root)
        path = holding.directory(self._base)
        try:
            self._check_space(path)
        except SpaceError:
            holding.dispose(None)
            raise
        self._holding, self._path = holding, path
        return path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holding = self._holding
        if holding is None:
            return
        failure = error or self._excess()
        self._holding = self._path = None
        if self._keep or (failure is not None and self._keep_on_failure):
            self.kept = holding.keep(None)
            if failure is not None:
                failure.add_note(self.kept)
        else:
            raise_or_note(holding.whose, holding.dispose(None), failure)
        if failure is not None and failure is not error:
            raise failure

    def keep(self) -> None:
        """Do not remove it at the end; ``dockwright clean --kept`` removes it later."""
        self._keep = True

    @property
    def path(self) -> Path:
        """The directory.

        Raises:
            RuntimeError: the block has not begun, or is over.
        """
        if self._path is None:
            raise RuntimeError("a TemporaryBackupDir exists only inside of its with block")
        return self._path

    def size_bytes(self) -> int:
        """Return the size of its files now, in bytes."""
        return sum(size for _, size in files_below(self.path))

    def free_bytes(self) -> int:
        """Return how many bytes may still be written within the limit and the free disk space."""
        free = shutil.disk_usage(self.path).free
        if self._limit_bytes is None:
            return free
        return max(0, min(free, self._limit_bytes - self.size_bytes()))

    def check(self) -> None:
        """Make sure that the limit is kept until now; the end of the block does so by itself.

        Raises:
            SizeLimitError: it holds more; names the largest file.
        """
        excess = self._excess()
        if excess is not None:
            raise excess

    def _excess(self) -> SizeLimitError | None:
        files = sorted(files_below(self.path), key=lambda each: each[1], reverse=True)
        total = sum(size for _, size in files)
        if self._limit_bytes is None or total <= self._limit_bytes:
            return None
        largest, size = files[0]
        return SizeLimitError(
            f"backup directory {self.path} holds {format_size(total)} in {len(files)} files, more "
            f"than its limit of {format_size(self._limit_bytes)}; the largest is "
            f"{largest.relative_to(self.path)} ({format_size(size)})",
            hint="write less, or raise limit_bytes",
        )

    def _check_space(self, path: Path) -> None:
        free = shutil.disk_usage(path).free
        if free < self._needs_bytes:
            raise SpaceError(
                f"backup directory: {path.parent} has {format_size(free)} free, "
                f"but {format_size(self._needs_bytes)} are needed",
                hint="free some space, or choose another place with base=",
            )
