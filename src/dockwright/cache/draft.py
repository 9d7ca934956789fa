"""An entry that is being written: first the bare tars, quickly; then compressed, at leisure."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import zstandard

from dockwright.cache.manifest import MANIFEST, Manifest, Part

_CHUNK_BYTES = 1 << 20
_LEVEL = 1
"""Quick: a suite of a few seconds is not to be over before its baseline is kept."""


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
        """Compress the volumes and describe them; the directory is then fit to be an entry.

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
    # Not flushed to the disk: after a power cut the checksums tell, and the entry is made again.
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
