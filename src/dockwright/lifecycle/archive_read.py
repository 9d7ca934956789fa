"""Reads a backup, after every byte of it has been proved."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dockwright._text import format_size
from dockwright.errors import ArchiveError, UsageError
from dockwright.lifecycle.archive_codec import CODECS, GZIP, ZSTD, Codec, decoding
from dockwright.lifecycle.archive_layout import (
    Seal,
    ending_length,
    header,
    padding,
    with_manifest,
)
from dockwright.lifecycle.archive_write import codec_in_directory
from dockwright.lifecycle.manifest import (
    MANIFEST,
    MOST_TEXT_BYTES,
    SEAL,
    Manifest,
    Part,
    parse_manifest,
)
from dockwright.untrusted import UnreadableError, read_plain

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 1 << 18
_MANIFEST_LIMIT = 4 << 20
_MOST_FILES = 10_000

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one part is: the file, and the bytes of it."""

    path: Path
    start: int
    codec: Codec


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that is open for reading; `open_archive` makes it.

    Attributes:
        path: where it is.
        manifest: what it holds.
    """

    path: Path
    manifest: Manifest
    _places: dict[str, _Place] = field(repr=False)

    def verify(self, on_bytes: OnBytes) -> None:
        """Read all of it and compare it with its checksums.

        Args:
            on_bytes: is told of every piece that was read; what it raises ends the reading.

        Raises:
            ArchiveError: a byte is wrong.
        """
        for part in self.manifest.parts:
            digest = hashlib.sha256()
            with self._stored(part) as packed:
                while data := packed.read(_READ_BYTES):
                    digest.update(data)
                    on_bytes(len(data))
            if digest.hexdigest() != part.sha256:
                raise ArchiveError(
                    f"{self.path}: {part.name} is damaged: its checksum is wrong", hint=_HINT
                )

    def content(self, part: Part) -> Generator[bytes, None, None]:
        """Yield the content of a part, decompressed.

        Raises:
            ArchiveError: it is not what the manifest says.
        """
        where = f"{self.path}: {part.name}"
        left = part.size
        with decoding(where), self._stored(part) as packed:
            content = self._places[part.name].codec.unpacked(packed)
            while left and (data := content.read(min(left, _READ_BYTES))):
                left -= len(data)
                yield data
            if left or content.read(1) or packed.read(1):
                raise ArchiveError(f"{where}: its length is not what the manifest says", hint=_HINT)

    def text(self, part: Part) -> bytes:
        """Return the content of a small part.

        Raises:
            ArchiveError: it is not what the manifest says, or longer than such a part can be.
        """
        if part.size > MOST_TEXT_BYTES:
            raise ArchiveError(
                f"{self.path}: {part.name} unpacks to {format_size(part.size)}, and such a part "
                f"has at most {format_size(MOST_TEXT_BYTES)}",
                hint=_HINT,
            )
        return b"".join(self.content(part))

    def _stored(self, part: Part) -> io.BufferedReader:
        place = self._places[part.name]
        section = _Section(place.path, place.start, part.stored)
        return io.BufferedReader(section, buffer_size=_READ_BYTES)


_WHAT = "name the file or the directory that `dockwright stack backup` has written"
_HINT = "nothing was touched; take another backup, or fetch this one again from where it is whole"


def open_archive(path: Path) -> Archive:
    """Open a backup: read its manifest, and prove all of it but the parts themselves.

    Raises:
        UsageError: there is none at `path`, or it is not a backup of dockwright's.
        ArchiveError: it is damaged.
    """
    if path.is_dir():
        return _open_directory(path)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such backup", hint=_WHAT)
    with path.open("rb") as file:
        return _File(path, file).archive()


class _File:
    """A backup in one file; see `archive_layout`."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._length = os.fstat(file.fileno()).st_size
        start = file.read(4)
        codec = next((each for each in (ZSTD, GZIP) if start.startswith(each.magic)), None)
        if codec is None:
            raise UsageError(
                f"{path} is not a backup: it is neither zstd nor gzip",
                hint="`dockwright stack backup` makes .tar.zst and .tar.gz files, and directories",
            )
        self._codec = codec

    def archive(self) -> Archive:
        """Return it, with all but the content of its parts proved."""
        seal = self._seal()
        manifest = self._manifest(seal)
        places: dict[str, _Place] = {}
        position = 0
        for part in manifest.parts:
            before = header(self._codec, part.name, part.size, manifest.created)
            self._expect(before, position)
            start = position + len(before)
            places[part.name] = _Place(self._path, start, self._codec)
            position = start + part.stored
            position += self._expect(padding(self._codec, part.size), position)
        if position != seal.offset:
            raise self._damaged("the parts do not fill it")
        expected = with_manifest(self._codec, manifest.dump(), position, manifest.created)
        if position + self._expect(expected, position) != self._length:
            raise self._damaged("something follows its end")
        return Archive(self._path, manifest, places)

    def _seal(self) -> Seal:
        length = ending_length(self._codec)
        seal = Seal.find(self._at(self._length - length, length)) if length < self._length else None
        if seal is None or not seal.offset < self._length or seal.size > _MANIFEST_LIMIT:
            raise self._damaged("its end is missing or wrong: it was cut off, or is no backup")
        return seal

    def _manifest(self, seal: Seal) -> Manifest:
        # The header's length, and that of what stands before the content, are known without it.
        before = len(header(self._codec, MANIFEST, seal.size, 0))
        stored = self._at(seal.offset + before, len(self._codec.stored(bytes(seal.size))))
        with decoding(str(self._path)):
            content = self._codec.unpacked(io.BytesIO(stored)).read(seal.size)
        if Seal.of(content, seal.offset) != seal:
            raise self._damaged("the checksum of its manifest is wrong")
        manifest = parse_manifest(content, str(self._path))
        if manifest.compression != self._codec.name:
            raise self._damaged("its manifest tells of another compression")
        return manifest

    def _expect(self, expected: bytes, position: int) -> int:
        if self._at(position, len(expected)) != expected:
            raise self._damaged(f"what lies between its parts is wrong near byte {position}")
        return len(expected)

    def _at(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)

    def _damaged(self, how: str) -> ArchiveError:
        return ArchiveError(f"{self._path} is damaged: {how}", hint=_HINT)


def _open_directory(path: Path) -> Archive:
    if not (path / MANIFEST).is_file() or not (path / SEAL).is_file():
        raise UsageError(f"{path} is not a backup: it has no {MANIFEST} or no {SEAL}", hint=_WHAT)
    found = list(islice(path.rglob("*"), _MOST_FILES + 1))
    if len(found) > _MOST_FILES:
        raise UsageError(f"{path} is not a backup: it has more than {_MOST_FILES:,} files")
    files = {str(each.relative_to(path)): each for each in found if not _is_dir(each)}
    for name, file in files.items():
        if file.is_symlink() or not file.is_file():
            raise ArchiveError(f"{path}: {name} is not a plain file", hint=_HINT)
    try:
        content = read_plain(files[MANIFEST], limit_bytes=_MANIFEST_LIMIT)
        seal = read_plain(files[SEAL], limit_bytes=_MANIFEST_LIMIT)
    except UnreadableError as exc:
        raise ArchiveError(f"{path} is damaged: its manifest {exc}", hint=_HINT) from exc
    if seal != Seal.of(content, 0).text:
        raise ArchiveError(f"{path} is damaged: the checksum of its manifest is wrong", hint=_HINT)
    manifest = parse_manifest(content, str(path))
    if manifest.compression not in CODECS:
        raise ArchiveError(f"{path}: nothing is known of compression {manifest.compression!r}")
    places: dict[str, _Place] = {}
    for part in manifest.parts:
        codec = codec_in_directory(part.name, CODECS[manifest.compression])
        name = f"{part.name}{codec.suffix}"
        if name not in files or files[name].stat().st_size != part.stored:
            problem = "longer or shorter than it was" if name in files else "missing"
            raise ArchiveError(f"{path} is damaged: {name} is {problem}", hint=_HINT)
        places[part.name] = _Place(files.pop(name), 0, codec)
    if strangers := files.keys() - {MANIFEST, SEAL}:
        raise ArchiveError(f"{path}: {min(strangers)} does not belong to the backup")
    return Archive(path, manifest, places)


def _is_dir(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


class _Section(io.RawIOBase):
    """Some bytes of a file, as a file of their own."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = length

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` with the next bytes."""
        view = memoryview(buffer)
        count = self._file.readinto(view[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
