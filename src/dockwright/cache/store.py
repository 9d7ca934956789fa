"""Baselines on disk: one directory per entry, named after its content key.

    BASELINES/               mode 0700; locked while an entry is added or removed
      KEY/0.tar.zst          a volume; readers hold a shared lock on KEY/
      KEY/manifest.json      its modification time is when the entry was last used
      KEY/frozen.json        the volumes on engines that hold the same (see `cache.frozen`)
      .KEY.part/             being written, by the process that holds its lock

A directory without a manifest is not an entry. Such directories, and dot directories that are not
locked, were left by a killed process; the next writer removes them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import zstandard

from dockwright._files import locked
from dockwright.cache.savings import Savings
from dockwright.errors import StoreError
from dockwright.recording.codec import decoded
from dockwright.untrusted import json_value, read_plain


class CorruptEntryError(StoreError):
    """An entry does not hold what was written to it."""


MANIFEST = "manifest.json"
FROZEN = "frozen.json"
_MANIFEST_BYTES = 1 << 20
_PART_FILE = re.compile(r"\d+\.tar\.zst")


@dataclass(frozen=True, slots=True)
class Part:
    """One volume of an entry.

    Attributes:
        service: a service that mounts the volume.
        target: where it does.
        file: the compressed tar in the entry's directory.
        tar_bytes: the size of the tar.
        stored_bytes: the size of the file.
        sha256: of the file, in hex.
    """

    service: str
    target: str
    file: str
    tar_bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One baseline.

    Attributes:
        key: names the entry.
        stack: the name of the project that it belongs to.
        created: when, in seconds since the epoch.
        start_s: how long the start took that made it, in seconds.
        inputs: what the key was made from.
        parts: the volumes.
    """

    key: str
    stack: str
    created: float
    start_s: float
    inputs: Mapping[str, str]
    parts: tuple[Part, ...]

    @property
    def stored_bytes(self) -> int:
        """What the entry takes on disk."""
        return sum(part.stored_bytes for part in self.parts)

    def to_json(self) -> str:
        """Return the manifest as text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            manifest = decoded(cls, json_value(text))
        except ValueError as exc:
            raise ValueError(f"not a baseline manifest: {exc}") from exc
        if not math.isfinite(manifest.created) or not math.isfinite(manifest.start_s):
            raise ValueError("not a baseline manifest: a time is not a number")
        if odd := [part.file for part in manifest.parts if not _PART_FILE.fullmatch(part.file)]:
            raise ValueError(f"not a baseline manifest: {odd[0]!r} is not the file name of a part")
        return manifest


_log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is stored, and for how long.

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

    @property
    def frozen_bytes(self) -> int:
        """What its frozen volumes take on all engines."""
        tars = sum(part.tar_bytes for part in self.manifest.parts)
        return tars * len(frozen_volumes(self.directory))

    @property
    def size_bytes(self) -> int:
        """What it takes on this host's disk and on engines."""
        return self.manifest.stored_bytes + self.frozen_bytes

    def chunks(self, part: Part) -> Iterator[bytes]:
        """Yield the tar of a volume in pieces."""
        with (self.directory / part.file).open("rb") as stream:
            yield from zstandard.ZstdDecompressor().read_to_iter(stream, write_size=_CHUNK_BYTES)

    def root(self, part: Part) -> tarfile.TarInfo:
        """Return the directory at the top of a volume, as its tar describes it.

        Raises:
            CorruptEntryError: the tar does not begin with it.
        """
        with (self.directory / part.file).open("rb") as stream:
            content = zstandard.ZstdDecompressor().stream_reader(stream)
            try:
                with tarfile.open(fileobj=content, mode="r|") as archive:
                    root = archive.next()
            except (tarfile.TarError, zstandard.ZstdError) as failure:
                raise CorruptEntryError(f"{part.file} ({part.target}): {failure}") from failure
        if root is None or not root.isdir():
            raise CorruptEntryError(f"{part.file} ({part.target}) has no top directory")
        return root


def frozen_volumes(entry: Path) -> dict[str, list[str]]:
    """Return the names of an entry's frozen volumes, by the URL of their engine.

    Args:
        entry: its directory.
    """
    try:
        found = json_value(read_plain(entry / FROZEN, limit_bytes=_MANIFEST_BYTES))
        return decoded(dict[str, list[str]], found)
    except (OSError, ValueError):  # without it they are made again
        return {}


class BaselineStore:
    """Keeps entries; any number of processes may use one store at once.

    Args:
        directory: where they are; made when the first is written.
        bounds: how much is stored, and for how long.
        clock: returns the time, in seconds since the epoch.
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
        """Yield an intact entry that cannot be removed meanwhile, or None.

        An entry with a wrong checksum is discarded, with a warning.
        """
        with self.holding(key) as stored:
            yield stored if stored and self.intact(stored) else None

    @contextmanager
    def holding(self, key: str) -> Iterator[Stored | None]:
        """Yield an entry that cannot be removed meanwhile, or None; its volumes are not read."""
        with locked(self.directory / key, shared=True) as held:
            stored = self._stored(key) if held else None
            if stored is not None:
                with suppress(OSError):  # it may not be written
                    self._mark_used(stored.directory)
            yield stored

    def count_use(self, saved_s: float) -> None:
        """Count a start from an entry, and how much shorter it was than the one that made it."""
        with suppress(OSError):  # it may not be written
            Savings(self.directory).add(1, saved_s)

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
            lock.enter_context(locked(directory, timeout_s=0))
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
        if not self.directory.is_dir():
            return []
        with self._settled():
            self._sweep()
            return [key for key in keys if not _deleted(self.directory / key)]

    def discard(self, key: str, reason: object) -> None:
        """Discard an entry, with a warning; others may still be reading it."""
        _log.warning("discarding the cached baseline %s: %s", key, reason)
        _forget(self.directory / key)

    def intact(self, stored: Stored) -> bool:
        """Return whether an entry holds what was written to it; if not, it is discarded."""
        try:
            for part in stored.manifest.parts:
                _verify(stored, part)
        except (CorruptEntryError, OSError) as failure:
            self.discard(stored.manifest.key, failure)
            return False
        return True

    def _stored(self, key: str) -> Stored | None:
        directory = self.directory / key
        file = directory / MANIFEST
        try:
            manifest = Manifest.from_json(read_plain(file, limit_bytes=_MANIFEST_BYTES))
            return Stored(manifest, directory, file.stat().st_mtime)
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
        with locked(self.directory):
            yield

    def _directories(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return [path for path in self.directory.iterdir() if path.is_dir()]

    def _sweep(self) -> None:
        for path in self._directories():
            if path.name.startswith(".") or not (path / MANIFEST).exists():
                _deleted(path)

    def _trim(self) -> None:
        left = self._bounds.size_bytes
        for stored in self.entries():
            left -= stored.size_bytes
            if left < 0 or self._clock() - stored.used > self._bounds.age_s:
                _deleted(stored.directory)


def _verify(stored: Stored, part: Part) -> None:
    file = stored.directory / part.file
    if not file.is_file():
        raise CorruptEntryError(f"the file {part.file} ({part.target}) is missing")
    found = hashlib.sha256()
    for chunk in chunks_of(file):
        found.update(chunk)
    if found.hexdigest() != part.sha256:
        raise CorruptEntryError(f"checksum mismatch in {part.file} ({part.target})")


def _forget(directory: Path) -> None:
    manifest = directory / MANIFEST
    with suppress(OSError):  # it may not be written; then it is found damaged again
        if manifest.is_dir():
            manifest.rmdir()
        else:
            manifest.unlink(missing_ok=True)


def _deleted(directory: Path) -> bool:
    """Delete a directory unless another process has locked it; return whether it is gone."""
    with locked(directory, timeout_s=0) as held:
        if held:
            _forget(directory)  # first: what is left is not an entry
            shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


_LEVEL = 1
"""Fast, so that a suite of a few seconds does not end before its baseline is saved."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A volume of which the bare tar lies in the draft."""

    service: str
    target: str
    file: Path
    tar_bytes: int


class Draft:
    """Takes volumes and becomes an entry; a context that deletes what did not become one.

    Args:
        directory: of its own, in the store, locked by this process.
        lock: is closed when the draft is.
    """

    def __init__(self, directory: Path, lock: ExitStack) -> None:
        self.directory = directory
        self._lock = lock
        self._read: list[_Read] = []

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete what is left of it and let others write such an entry."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()

    def add(self, service: str, target: str, chunks: Iterable[bytes]) -> None:
        """Write the tar of a volume.

        Args:
            service: a service that mounts the volume.
            target: where it does.
            chunks: the tar in pieces.
        """
        file = self.directory / f"{len(self._read)}.tar"
        with _created(file) as stream:
            stream.writelines(chunks)
            self._read.append(_Read(service, target, file, stream.tell()))

    def names(self, service: str, target: str) -> Iterator[str]:
        """Yield the names of what a volume holds, as in its tar."""
        for read in self._read:
            if (read.service, read.target) == (service, target):
                with tarfile.open(read.file, "r:") as archive:
                    for member in archive:
                        yield member.name

    def finish(
        self, describe: Callable[[tuple[Part, ...]], Manifest], *, wanted: Callable[[], bool]
    ) -> bool:
        """Compress the volumes and write the manifest; the directory is then ready to be an entry.

        Args:
            describe: makes the manifest.
            wanted: is asked again and again whether to go on.

        Returns:
            Whether it was finished; False: it was called off.
        """
        parts = []
        for read in self._read:
            part = _compress(read, wanted)
            if part is None:
                return False
            read.file.unlink()
            parts.append(part)
        with _created(self.directory / MANIFEST) as stream:
            stream.write(describe(tuple(parts)).to_json().encode())
        return True


def _compress(read: _Read, wanted: Callable[[], bool]) -> Part | None:
    target = read.file.with_suffix(".tar.zst")
    found = hashlib.sha256()
    stored = 0
    with _created(target) as stream:
        for chunk in _compressed(read.file):
            if not wanted():
                return None
            stream.write(chunk)
            found.update(chunk)
            stored += len(chunk)
    return Part(read.service, read.target, target.name, read.tar_bytes, stored, found.hexdigest())


def _compressed(file: Path) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    for chunk in chunks_of(file):
        yield compressor.compress(chunk)
    yield compressor.flush()


def chunks_of(file: Path) -> Iterator[bytes]:
    """Yield a file in pieces."""
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _created(file: Path) -> IO[bytes]:
    # Not synced to disk: after a power failure the checksums do not match, and it is made again.
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
