"""The layout of a backup: its parts, their compression, the manifest and the seal.

A backup in one file is a tar, compressed with zstd or gzip, that any tar can unpack. Each part is
one frame (or gzip member). What is between the parts is made of frames as well, which store their
bytes uncompressed. So a reader finds, hashes and unpacks each part on its own, and knows every
other byte in advance.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any, ClassVar, Protocol

from dockwright.errors import ArchiveError

_ZSTD_LEVEL = 3  # as the zstd command; lower levels are slower with incompressible data
_GZIP_LEVEL = 6  # as the gzip command
_WINDOW_LIMIT = 8 << 20  # the memory that a reader may need; level 3 needs 2 MiB
_READ_BYTES = 1 << 18
_ZSTD_BLOCK = 1 << 17
_GZIP_BLOCK = (1 << 16) - 1
_WBITS_GZIP = 31


class Packer(Protocol):
    """Compresses one part, piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """Add a piece; return the compressed bytes that are ready."""
        ...

    def flush(self) -> bytes:
        """Return the remaining compressed bytes."""
        ...


class Readable(Protocol):
    """Something that can be read piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


class Codec(ABC):
    """A compression format.

    Attributes:
        name: its name in the manifest.
        suffix: the file name extension.
        magic: the first bytes of compressed files.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    magic: ClassVar[bytes]

    @abstractmethod
    def packer(self) -> Packer:
        """Return a compressor that makes one frame."""

    @abstractmethod
    def unpacked(self, packed: IO[bytes]) -> Readable:
        """Return a reader of the content of one frame; it holds at most a window in memory."""

    @abstractmethod
    def stored(self, content: bytes) -> bytes:
        """Return the one possible frame that stores `content` uncompressed."""


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
        # No name, no time, unknown operating system; then stored blocks.
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
    """Reads one gzip member; Python's own reader would continue with the next one."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._unpacker = zlib.decompressobj(_WBITS_GZIP)

    def read(self, size: int = -1, /) -> bytes:
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._packed.read(_READ_BYTES)
            if not packed:
                raise EOFError("unexpected end of data")
            if content := self._unpacker.decompress(packed, max(size, 0)):
                return content
        if self._unpacker.unused_data:
            raise zlib.error("unexpected data after the end")
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
    """Turn errors of decompression into an `ArchiveError`.

    Args:
        where: the part and the backup, for the message.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise ArchiveError(f"{where}: cannot decompress: {exc}") from exc
    except Exception as exc:  # ZstdError has no narrower base class
        if type(exc).__name__ != "ZstdError":  # its module is imported only if it is needed
            raise
        raise ArchiveError(f"{where}: cannot decompress: {exc}") from exc


def _blocks(content: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield at least one piece of at most `size` bytes, with whether it is the last."""
    for start in range(0, max(1, len(content)), size):
        yield content[start : start + size], int(start + size >= len(content))


FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SPEC = "compose.yaml"
CONFIG = "config.tar"
MOST_TEXT_BYTES = 16 << 20
"""The largest stack spec and config directory: a restore holds both in memory."""

_PART = re.compile(r"compose\.yaml|config\.tar|volumes/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.tar")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAST = 8**11 - 1  # the last second that fits into a tar header
_MOST_BYTES = 1 << 53


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the backup.

    Attributes:
        name: ``compose.yaml``, ``config.tar`` or ``volumes/NAME.tar``.
        size: of its content, in bytes.
        stored: its size in the backup, compressed, in bytes.
        sha256: the checksum of the compressed bytes (hex).
        volume: the volume's key in the Compose file; ``SERVICE:TARGET`` if it has no name there;
            empty if the part is not a volume.
    """

    name: str
    size: int
    stored: int
    sha256: str
    volume: str = ""


@dataclass(frozen=True, slots=True)
class ImageOf:
    """The image that a service ran at the time of the backup.

    Attributes:
        reference: its name in the Compose file.
        id: its id on the engine; empty if the engine did not have it.
        digests: its names with digests, for a registry.
    """

    reference: str
    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a backup.

    Attributes:
        project: the project name of the stack.
        created: the time, in whole seconds since the epoch.
        dockwright: the version that made the backup.
        compression: the name of the codec of its parts.
        platform: the platform of the engine, e.g. ``linux/amd64``.
        running: the services and native processes that ran.
        images: the images by service.
        parts: its files, in order.
    """

    project: str
    created: int
    dockwright: str
    compression: str
    platform: str
    running: tuple[str, ...]
    images: Mapping[str, ImageOf]
    parts: tuple[Part, ...]

    @property
    def volumes(self) -> tuple[Part, ...]:
        """The parts that are volumes."""
        return tuple(part for part in self.parts if part.volume)

    @property
    def size(self) -> int:
        """The sum of the sizes of all contents, in bytes."""
        return sum(part.size for part in self.parts)

    @property
    def stored(self) -> int:
        """The sum of the compressed sizes of all parts, in bytes."""
        return sum(part.stored for part in self.parts)

    def part(self, name: str) -> Part | None:
        """Return the part with this name, or None."""
        return next((part for part in self.parts if part.name == name), None)

    def document(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    def dump(self) -> bytes:
        """Return the content of the manifest file."""
        return json.dumps(self.document(), indent=2, sort_keys=True).encode() + b"\n"


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Parse what `Manifest.dump` returned.

    Args:
        content: the content of the manifest file.
        where: the backup, for messages.

    Raises:
        ArchiveError: the manifest is invalid, or its format is newer.
    """
    try:
        document = json.loads(content)
        if document.pop("format") != FORMAT:
            raise ArchiveError(
                f"{where}: this version of dockwright cannot read the format of this backup",
                hint="restore it with the version of dockwright that made it, or a newer one",
            )
        manifest = _built(document)
        wrong = _wrong(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise ArchiveError(f"{where}: dockwright did not write this manifest") from exc
    if wrong:
        raise ArchiveError(f"{where}: the manifest is invalid: {wrong}")
    if manifest.dump() != content:
        raise ArchiveError(f"{where}: dockwright did not write this manifest")
    return manifest


def _built(document: dict[str, Any]) -> Manifest:
    return Manifest(
        **{
            **document,
            "running": tuple(document["running"]),
            "images": {
                name: ImageOf(**{**image, "digests": tuple(image["digests"])})
                for name, image in document["images"].items()
            },
            "parts": tuple(Part(**part) for part in document["parts"]),
        }
    )


def _wrong(manifest: Manifest) -> str:
    """Return what is invalid in a manifest; empty if nothing is."""
    names = [part.name for part in manifest.parts]
    if not all(type(text) is str for text in _texts(manifest)):
        return "a value is not a string"
    if len({name.lower() for name in names}) != len(names):
        return "two parts have the same name"
    volumes = [part.volume for part in manifest.volumes]
    if len(set(volumes)) != len(volumes):
        return "two parts are the same volume"
    if not _PROJECT.fullmatch(manifest.project) or not _is_within(manifest.created, _LAST):
        return "the project name or the time is invalid"
    for part in manifest.parts:
        if not _PART.fullmatch(part.name):
            return f"invalid name of a part: {part.name!r}"
        if part.name.startswith("volumes/") != bool(part.volume):
            return f"part {part.name} claims to be volume {part.volume!r}"
        sized = _is_within(part.size, _MOST_BYTES) and _is_within(part.stored, _MOST_BYTES)
        if not sized or not _SHA256.fullmatch(part.sha256):
            return f"part {part.name} has an invalid size or checksum"
    return "" if SPEC in names else f"{SPEC} is missing"


def _texts(manifest: Manifest) -> Iterator[object]:
    """Yield everything in a manifest that must be a string."""
    yield from (manifest.project, manifest.dockwright, manifest.compression, manifest.platform)
    yield from manifest.running
    for image in manifest.images.values():
        yield from (image.reference, image.id, *image.digests)
    for part in manifest.parts:
        yield from (part.name, part.sha256, part.volume)


def _is_within(number: object, most: int) -> bool:
    return type(number) is int and 0 <= number <= most


_BLOCK = tarfile.BLOCKSIZE
_SEAL_TEXT = re.compile(
    rb"# dockwright backup, format 1: manifest at byte (\d{20}), (\d{12}) bytes long\n"
    rb"([0-9a-f]{64})  manifest\.json\n"
)


def header(codec: Codec, name: str, size: int, created: int) -> bytes:
    """Return the stored tar header of one member; its length depends only on `name`."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, created
    return codec.stored(info.tobuf(tarfile.GNU_FORMAT))


def padding(codec: Codec, size: int) -> bytes:
    """Return the stored zeros that pad a member of `size` bytes to whole blocks."""
    missing = -size % _BLOCK
    return codec.stored(bytes(missing)) if missing else b""


@dataclass(frozen=True, slots=True)
class Seal:
    """The position and checksum of the manifest, at the end of the file.

    Attributes:
        offset: the position of the manifest's header in the file.
        size: the length of the manifest.
        sha256: the checksum of the manifest (hex).
    """

    offset: int
    size: int
    sha256: str

    @classmethod
    def of(cls, manifest: bytes, offset: int) -> Seal:
        """Return the seal of a manifest."""
        return cls(offset, len(manifest), hashlib.sha256(manifest).hexdigest())

    @classmethod
    def find(cls, content: bytes) -> Seal | None:
        """Return the seal whose text is somewhere in `content`, or None."""
        match = _SEAL_TEXT.search(content)
        return cls(int(match[1]), int(match[2]), match[3].decode()) if match else None

    @property
    def text(self) -> bytes:
        """The content of the seal's file, which is also valid for ``sha256sum -c``."""
        return (
            f"# dockwright backup, format 1: manifest at byte {self.offset:020d}, "
            f"{self.size:012d} bytes long\n{self.sha256}  {MANIFEST}\n"
        ).encode()


_SEAL_LENGTH = len(Seal(0, 0, "0" * 64).text)


def ending(codec: Codec, seal: Seal, created: int) -> bytes:
    """Return everything after the manifest."""
    return b"".join(
        [
            header(codec, SEAL, _SEAL_LENGTH, created),
            codec.stored(seal.text),
            padding(codec, _SEAL_LENGTH),
            codec.stored(bytes(2 * _BLOCK)),
        ]
    )


def ending_length(codec: Codec) -> int:
    """Return the length of every `ending`."""
    return len(ending(codec, Seal(0, 0, "0" * 64), 0))


def with_manifest(codec: Codec, manifest: bytes, offset: int, created: int) -> bytes:
    """Return the manifest with its header, its padding, and the ending."""
    return b"".join(
        [
            header(codec, MANIFEST, len(manifest), created),
            codec.stored(manifest),
            padding(codec, len(manifest)),
            ending(codec, Seal.of(manifest, offset), created),
        ]
    )
