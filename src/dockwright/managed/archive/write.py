"""Writes a backup beside its place, and puts it there whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from dockwright.errors import DiskFullError, UsageError
from dockwright.managed.archive.layout import (
    MANIFEST,
    PLAIN,
    SEAL,
    Codec,
    Manifest,
    Part,
    Seal,
    header,
    padding,
    with_manifest,
)
from dockwright.managed.backup_progress import ahead

_PART_SUFFIX = ".dockwright-part"
_WRITE_BYTES = 1 << 20
_STORE_BYTES = 32 << 20


class Draft(Protocol):
    """A backup that is being written."""

    def add(self, name: str, chunks: Iterable[bytes], *, volume: str = "") -> Part:
        """Write one part, as `chunks` come; see `Part` for its name and volume."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest of the added parts."""
        ...


@contextmanager
def drafted(target: Path, codec: Codec, created: int, *, single: bool) -> Iterator[Draft]:
    """Write a backup: it is at `target` after the block, or nothing of it is anywhere.

    Args:
        target: where it comes; what is there is replaced.
        codec: how its parts are compressed.
        created: the time for its files' headers.
        single: one file instead of a directory.

    Raises:
        DiskFullError: no space is left for it.
        UsageError: the directory for it is missing, or nothing can be written there.
    """
    sweep(target.parent)
    beside = draft_path(target)
    with _telling(target), _held(beside, single=single):
        draft: _FileDraft | _DirectoryDraft
        draft = _FileDraft(beside, codec, created) if single else _DirectoryDraft(beside, codec)
        with draft:
            yield draft
        _put(beside, target)


def draft_path(target: Path) -> Path:
    """Return where this process writes what comes to `target`."""
    return target.absolute().parent / f".{target.name}.{os.getpid()}{_PART_SUFFIX}"


def sweep(directory: Path) -> None:
    """Remove what killed backups left half written in a directory."""
    for left in directory.glob(f".*{_PART_SUFFIX}"):
        with suppress(OSError):  # another's, or gone meanwhile
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(left)
            finally:
                os.close(descriptor)


@contextmanager
def _held(beside: Path, *, single: bool) -> Iterator[None]:
    """Make the temporary file or directory and hold its lock; remove it unless it was renamed."""
    if single:
        descriptor = os.open(beside, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600)
    else:
        beside.mkdir(mode=0o700)
        descriptor = os.open(beside, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        _remove(beside)
        os.close(descriptor)


@contextmanager
def _telling(target: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise UsageError(f"{target}: the directory for it does not exist") from exc
    except PermissionError as exc:
        raise UsageError(f"{target}: nothing can be written there: {exc.strerror}") from exc
    except OSError as exc:
        raise DiskFullError(
            f"{target}: the backup cannot be written: {exc.strerror or exc}",
            hint="nothing of it is left; free some space, or choose another place with --output",
        ) from exc


def _put(beside: Path, target: Path) -> None:
    if beside.is_dir() and os.path.lexists(target):
        aside = beside.with_name(f".{target.name}.{os.getpid()}.old{_PART_SUFFIX}")
        target.rename(aside)
        beside.rename(target)
        _remove(aside)
    else:
        beside.replace(target)
    _sync(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(
    file: IO[bytes], codec: Codec, chunks: Iterable[bytes], name: str, volume: str = ""
) -> Part:
    """Compress chunks into a file at its position; return what the part has become."""
    digest, size, stored = hashlib.sha256(), 0, 0

    def compressed() -> Generator[bytes, None, None]:
        nonlocal size
        packer = codec.packer()
        for chunk in chunks:
            size += len(chunk)
            yield packer.compress(chunk)
        yield packer.flush()

    on_way = 0
    with ahead(compressed()) as pieces:  # compressed in a thread of its own, written in ours
        for piece in pieces:
            digest.update(piece)
            stored += file.write(piece)
            if stored - on_way >= _STORE_BYTES:
                on_way = stored
                _begin_to_store(file)
    return Part(name, size, stored, digest.hexdigest(), volume)


def _begin_to_store(file: IO[bytes]) -> None:
    """Let the disk begin with what was written so far, so that less is left for the end."""
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _FileDraft:
    """One file; see `archive_layout`."""

    def __init__(self, path: Path, codec: Codec, created: int) -> None:
        self._codec = codec
        self._created = created
        self._file = path.open("r+b", buffering=_WRITE_BYTES)

    def __enter__(self) -> _FileDraft:
        return self

    def __exit__(self, *failure: object) -> None:
        with suppress(OSError) if failure[0] else _nothing():  # what is buffered is of no use then
            self._file.close()

    def add(self, name: str, chunks: Iterable[bytes], *, volume: str = "") -> Part:
        begin = self._file.tell()
        self._file.write(header(self._codec, name, 0, self._created))
        part = _pack(self._file, self._codec, chunks, name, volume)
        end = self._file.tell()
        self._file.seek(begin)
        self._file.write(header(self._codec, name, part.size, self._created))
        self._file.seek(end)
        self._file.write(padding(self._codec, part.size))
        return part

    def finish(self, manifest: Manifest) -> None:
        offset, content = self._file.tell(), manifest.dump()
        self._file.write(with_manifest(self._codec, content, offset, self._created))
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class _DirectoryDraft:
    """One file for each part; the tars are compressed."""

    def __init__(self, path: Path, codec: Codec) -> None:
        self._path = path
        self._codec = codec

    def __enter__(self) -> _DirectoryDraft:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def add(self, name: str, chunks: Iterable[bytes], *, volume: str = "") -> Part:
        codec = codec_in_directory(name, self._codec)
        place = self._path / f"{name}{codec.suffix}"
        place.parent.mkdir(exist_ok=True, mode=0o700)
        with _new(place) as file:
            return _pack(file, codec, chunks, name, volume)

    def finish(self, manifest: Manifest) -> None:
        content = manifest.dump()
        for name, text in ((MANIFEST, content), (SEAL, Seal.of(content, 0).text)):
            with _new(self._path / name) as file:
                file.write(text)
        for directory in (self._path, *{place.parent for place in self._path.rglob("*")}):
            _sync(directory)


@contextmanager
def _new(place: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=_WRITE_BYTES) as file:
        yield file
        file.flush()
        os.fsync(descriptor)


def codec_in_directory(name: str, codec: Codec) -> Codec:
    """Return how a part is compressed where it is a file of its own: tars are, texts are not."""
    return codec if name.endswith(".tar") else PLAIN
