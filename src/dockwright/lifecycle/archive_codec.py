"""How the bytes of a backup are compressed: zstd, gzip, or not at all.

A backup in one file is a sequence of zstd frames or gzip members, which every tool reads as one
stream. Two kinds of them: what is *packed* (the parts), and what is *stored* as it is, in a form
whose length depends on the content's length alone, so that it can be written later or told from
a damaged one byte by byte.

Sources: RFC 8878 (zstd), RFC 1951 and 1952 (deflate, gzip).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, ClassVar, Protocol

from dockwright.errors import ArchiveError

_ZSTD_LEVEL = 3  # that of the zstd command; lower ones take longer over what cannot be compressed
_GZIP_LEVEL = 6  # that of the gzip command
_WINDOW_LIMIT = 8 << 20  # what a reader has to keep in memory; level 3 needs 2 MiB
_READ_BYTES = 1 << 18
_ZSTD_BLOCK = 1 << 17
_GZIP_BLOCK = (1 << 16) - 1
_WBITS_GZIP = 31


class Packer(Protocol):
    """Compresses one part, piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Take in a piece; return what is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class Readable(Protocol):
    """What can be read piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


class Codec(ABC):
    """One way to compress.

    Attributes:
        name: as the manifest tells it.
        suffix: what the names of compressed files end with.
        magic: how they begin.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    magic: ClassVar[bytes]

    @abstractmethod
    def packer(self) -> Packer:
        """Return what compresses one part into one frame."""

    @abstractmethod
    def unpacked(self, packed: IO[bytes]) -> Readable:
        """Return what reads the content of one frame; it never holds more than a window of it."""

    @abstractmethod
    def stored(self, content: bytes) -> bytes:
        """Return a frame that holds `content` as it is; there is exactly one for each content."""


class _Zstd(Codec):
    name = "zstd"
    suffix = ".zst"
    magic = b"\x28\xb5\x2f\xfd"

    def packer(self) -> Packer:
        import zstandard

        options = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, write_checksum=True)
        return zstandard.ZstdCompressor(compression_params=options).compressobj()

    def unpacked(self, packed: IO[bytes]) -> Readable:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        reader: Readable = decompressor.stream_reader(packed, read_size=_READ_BYTES, closefd=False)
        return reader

    def stored(self, content: bytes) -> bytes:
        # One segment with a content size of four bytes, no checksum; then raw blocks.
        return b"".join(
            [
                self.magic,
                b"\xa0",
                struct.pack("<I", len(content)),
                *(
                    (len(block) << 3 | last).to_bytes(3, "little") + block
                    for block, last in _blocks(content, _ZSTD_BLOCK)
                ),
            ]
        )


class _Gzip(Codec):
    name = "gzip"
    suffix = ".gz"
    magic = b"\x1f\x8b"

    def packer(self) -> Packer:
        return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _WBITS_GZIP)

    def unpacked(self, packed: IO[bytes]) -> Readable:
        return _Inflating(packed)

    def stored(self, content: bytes) -> bytes:
        # No name, no time, an unknown system; then stored blocks.
        return b"".join(
            [
                self.magic,
                b"\x08\x00\x00\x00\x00\x00\x00\xff",
                *(
                    bytes([last]) + struct.pack("<HH", len(block), len(block) ^ 0xFFFF) + block
                    for block, last in _blocks(content, _GZIP_BLOCK)
                ),
                struct.pack("<II", zlib.crc32(content), len(content)),
            ]
        )


class _Inflating:
    """Reads one gzip member, as a part is: Python's own reader goes on with what follows it."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._unpacker = zlib.decompressobj(_WBITS_GZIP)

    def read(self, size: int = -1, /) -> bytes:
        while not self._unpacker.eof:
            held = self._unpacker.unconsumed_tail or self._packed.read(_READ_BYTES)
            if not held:
                raise EOFError("it ends in the middle")
            if content := self._unpacker.decompress(held, max(size, 0)):
                return content
        if self._unpacker.unused_data:
            raise zlib.error("something follows its end")
        return b""


class _Plain(Codec):
    name = "none"
    suffix = ""
    magic = b""

    def packer(self) -> Packer:
        return _Same()

    def unpacked(self, packed: IO[bytes]) -> Readable:
        return packed

    def stored(self, content: bytes) -> bytes:
        return content


class _Same:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


ZSTD: Codec = _Zstd()
GZIP: Codec = _Gzip()
PLAIN: Codec = _Plain()
CODECS: Mapping[str, Codec] = {codec.name: codec for codec in (ZSTD, GZIP, PLAIN)}


@contextmanager
def decoding(where: str) -> Iterator[None]:
    """Tell what cannot be decompressed as an `ArchiveError`.

    Args:
        where: the part and the backup, for the message.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise ArchiveError(f"{where}: cannot be decompressed: {exc}") from exc
    except Exception as exc:  # zstandard's has no narrower base
        if type(exc).__name__ != "ZstdError":  # its module is loaded only where it is needed
            raise
        raise ArchiveError(f"{where}: cannot be decompressed: {exc}") from exc


def _blocks(content: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield pieces of at most `size`, at least one, each with whether it is the last."""
    for start in range(0, max(1, len(content)), size):
        yield content[start : start + size], int(start + size >= len(content))
