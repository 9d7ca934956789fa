"""Writes a backup to a temporary name beside its target, and renames it when it is complete."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Protocol

from dockwright._files import locked, sync_directory
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
_FLUSH_BYTES = 32 << 20


class Draft(Protocol):
    """A backup that is being written."""

    def add(self, name: str, chunks: Iterable[bytes], *, volume: str = "") -> Part:
        """Write one part while `chunks` arrive; see `Part` for its name and volume."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest of the added parts."""
        ...


@contextmanager
def drafted(target: Path, codec: Codec, created: int, *, single: bool) -> Iterator[Draft]:
    """Write a backup: after the block it is complete at `target`, or nothing of it is left.

    Args:
        target: where to put it; an existing backup is replaced.
        codec: how its parts are compressed.
        created: the time in the headers of its files.
        single: write one file instead of a directory.

    Raises:
        DiskFullError: there is no space left.
        UsageError: the parent directory does not exist, or is not writable.
    """
    sweep(target.parent)
    beside = draft_path(target)
    with _explained(target), _temporary(beside, single=single):
        draft: _FileDraft | _DirectoryDraft
        draft = _FileDraft(beside, codec, created) if single else _DirectoryDraft(beside, codec)
        with draft:
            yield draft
        _put(beside, target)


def draft_path(target: Path) -> Path:
    """Return the temporary name under which this process writes `target`."""
    return target.absolute().parent / f".{target.name}.{os.getpid()}{_PART_SUFFIX}"


def sweep(directory: Path) -> None:
    """Remove incomplete backups that killed commands left in a directory."""
    for left in directory.glob(f".*{_PART_SUFFIX}"):
        with suppress(OSError), locked(left, timeout_s=0) as held:  # another user's: left alone
            if held:
                _remove(left)


@contextmanager
def _temporary(path: Path, *, single: bool) -> Iterator[None]:
    """Create a file or directory and hold its lock; remove it unless it was renamed."""
    if single:
        path.touch(mode=0o600, exist_ok=False)
    else:
        path.mkdir(mode=0o700)
    with locked(path):
        try:
            yield
        finally:
            _remove(path)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn errors of the file system into dockwright's own."""
    try:
        yield
    except FileNotFoundError as exc:
        raise UsageError(f"{target}: the parent directory does not exist") from exc
    except PermissionError as exc:
        raise UsageError(f"{target}: no permission to write there: {exc.strerror}") from exc
    except OSError as exc:
        raise DiskFullError(
            f"{target}: cannot write the backup: {exc.strerror or exc}",
            hint="the incomplete backup was removed; free some space, or choose another place "
            "with --output",
        ) from exc


def _put(beside: Path, target: Path) -> None:
    if beside.is_dir() and os.path.lexists(target):
        aside = beside.with_name(f".{target.name}.{os.getpid()}.old{_PART_SUFFIX}")
        target.rename(aside)
        beside.rename(target)
        _remove(aside)
    else:
        beside.replace(target)
    sync_directory(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _pack(
    file: IO[bytes], codec: Codec, chunks: Iterable[bytes], name: str, volume: str = ""
) -> Part:
    """Compress chunks into a file at its position; return the description of the part."""
    digest, size, stored = hashlib.sha256(), 0, 0

    def compressed() -> Generator[bytes, None, None]:
        nonlocal size
        packer = codec.packer()
        for chunk in chunks:
            size += len(chunk)
            yield packer.compress(chunk)
        yield packer.flush()

    flushed = 0
    with ahead(compressed()) as pieces:  # compressed in another thread, written in this one
        for piece in pieces:
            digest.update(piece)
            stored += file.write(piece)
            if stored - flushed >= _FLUSH_BYTES:
                flushed = stored
                _start_writeback(file)
    return Part(name, size, stored, digest.hexdigest(), volume)


def _start_writeback(file: IO[bytes]) -> None:
    """Let the disk start with what was written so far, so that the final fsync takes less time."""
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _FileDraft:
    """A backup in one file; see `layout`."""

    def __init__(self, path: Path, codec: Codec, created: int) -> None:
        self._codec = codec
        self._created = created
        self._file = path.open("r+b", buffering=_WRITE_BYTES)

    def __enter__(self) -> _FileDraft:
        return self

    def __exit__(self, *failure: object) -> None:
        # After a failure the buffered rest is useless, and a full disk cannot take it.
        with suppress(OSError) if failure[0] else nullcontext():
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


class _DirectoryDraft:
    """A backup with one file for each part; the tars are compressed."""

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
            sync_directory(directory)


@contextmanager
def _new(place: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=_WRITE_BYTES) as file:
        yield file
        file.flush()
        os.fsync(descriptor)


def codec_in_directory(name: str, codec: Codec) -> Codec:
    """Return the codec of a part that is a file of its own: tars are compressed, texts are not."""
    return codec if name.endswith(".tar") else PLAIN
