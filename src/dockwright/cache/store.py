"""Baselines on disk: one directory an entry, named by its content key.

    BASELINES/               mode 0700; locked for the moment in which an entry comes or goes
      KEY/0.tar.zst          a volume; who reads it holds a shared lock on KEY/
      KEY/manifest.json      its modification time is when the entry was last used
      .KEY.part/             being written, by the process that holds its lock

What has no manifest is no entry. Together with dot directories that nobody has locked it is what a
killed process left; the next writer removes it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard

from dockwright.cache.draft import Draft, chunks_of
from dockwright.cache.errors import CorruptEntryError
from dockwright.cache.locks import locked
from dockwright.cache.manifest import MANIFEST, Manifest, Part

_log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept for how long.

    Attributes:
        size_bytes: of all entries together; the least recently used go first.
        age_s: since an entry was last used, in seconds.
    """

    size_bytes: int = 5_000_000_000
    age_s: float = 30 * _DAY_S


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it lies on disk.

    Attributes:
        manifest: what it says about itself.
        directory: where it is.
        used: when it was last used, in seconds since the epoch.
    """

    manifest: Manifest
    directory: Path
    used: float

    def chunks(self, part: Part) -> Iterator[bytes]:
        """Yield the tar of a volume in pieces."""
        with (self.directory / part.file).open("rb") as stream:
            yield from zstandard.ZstdDecompressor().read_to_iter(stream, write_size=_CHUNK_BYTES)


class BaselineStore:
    """Keeps entries; any number of processes may use one store at once.

    Args:
        directory: where they are; made when the first is written.
        bounds: how much is kept for how long.
        clock: tells the time, in seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self._bounds = bounds or Bounds()
        self._clock = clock

    @contextmanager
    def reading(self, key: str) -> Iterator[Stored | None]:
        """Yield an entry that is intact and stays meanwhile; None where there is none.

        An entry with a wrong checksum ceases to be one, with a warning.
        """
        with locked(self.directory / key, shared=True, wait=True) as held:
            yield self._intact(key) if held else None

    def draft(self, key: str) -> Draft | None:
        """Return what an entry is written into; None: there is one, or another is writing it.

        Raises:
            OSError: nothing can be written there.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._settled():
            self._sweep()
            directory = self.directory / f".{key}.part"
            if directory.exists() or (self.directory / key).exists():
                return None
            directory.mkdir(mode=0o700)
            lock = ExitStack()
            lock.enter_context(locked(directory))
            return Draft(directory, lock)

    def publish(self, draft: Draft, key: str) -> None:
        """Make a finished draft the entry of `key`, and remove what exceeds the bounds."""
        with self._settled():
            self._mark_used(draft.directory)
            draft.directory.rename(self.directory / key)
            draft.close()
            self._trim()

    def entries(self) -> list[Stored]:
        """Return all entries, the most recently used first."""
        names = [path.name for path in self._directories() if not path.name.startswith(".")]
        found = [stored for name in names if (stored := self._stored(name))]
        return sorted(found, key=lambda stored: stored.used, reverse=True)

    def remove(self, keys: Collection[str]) -> list[str]:
        """Remove entries; return the keys of those that stay because they are being read."""
        if not self.directory.exists():
            return []
        with self._settled():
            self._sweep()
            return [key for key in keys if not _deleted(self.directory / key)]

    def discard(self, key: str, reason: object) -> None:
        """Take an entry out of use, with a warning; it may still be read meanwhile."""
        _log.warning("kept baseline %s is not used any more: %s", key, reason)
        (self.directory / key / MANIFEST).unlink(missing_ok=True)

    def _intact(self, key: str) -> Stored | None:
        stored = self._stored(key)
        if stored is None:
            return None
        try:
            for part in stored.manifest.parts:
                _verify(stored, part)
            self._mark_used(stored.directory)
        except (CorruptEntryError, OSError) as failure:
            self.discard(key, failure)
            return None
        return stored

    def _stored(self, key: str) -> Stored | None:
        directory = self.directory / key
        file = directory / MANIFEST
        try:
            return Stored(Manifest.from_json(file.read_text()), directory, file.stat().st_mtime)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as failure:
            self.discard(key, failure)
            return None

    def _mark_used(self, directory: Path) -> None:
        now = self._clock()
        os.utime(directory / MANIFEST, (now, now))

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Keep others from adding and removing entries; held for moments only."""
        with locked(self.directory, wait=True):
            yield

    def _directories(self) -> list[Path]:
        if not self.directory.exists():
            return []
        return [path for path in self.directory.iterdir() if path.is_dir()]

    def _sweep(self) -> None:
        for path in self._directories():
            if path.name.startswith(".") or not (path / MANIFEST).exists():
                _deleted(path)

    def _trim(self) -> None:
        left = self._bounds.size_bytes
        for stored in self.entries():
            left -= stored.manifest.stored_bytes
            if left < 0 or self._clock() - stored.used > self._bounds.age_s:
                _deleted(stored.directory)


def _verify(stored: Stored, part: Part) -> None:
    found = hashlib.sha256()
    for chunk in chunks_of(stored.directory / part.file):
        found.update(chunk)
    if found.hexdigest() != part.sha256:
        raise CorruptEntryError(f"the checksum of {part.file} is wrong ({part.target})")


def _deleted(directory: Path) -> bool:
    """Delete a directory unless somebody has locked it; tell whether it is gone."""
    with locked(directory) as held:
        if held:
            (directory / MANIFEST).unlink(missing_ok=True)  # first: a rest of it is no entry
            shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()
