"""What a backup's archive looks like: its parts, their compression, and the manifest."""

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


FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SPEC = "compose.yaml"
CONFIG = "config.tar"
MOST_TEXT_BYTES = 16 << 20
"""How long the stack spec and the config directory may be: a restore holds both in memory."""

_PART = re.compile(r"compose\.yaml|config\.tar|volumes/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.tar")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAST = 8**11 - 1  # the last second that a tar header has room for
_MOST_BYTES = 1 << 53


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the backup.

    Attributes:
        name: ``compose.yaml``, ``config.tar`` or ``volumes/NAME.tar``.
        size: of its content, in bytes.
        stored: how many bytes it takes in the backup, as it is compressed there.
        sha256: of these bytes (hex).
        volume: the volume's key in the Compose file; ``SERVICE:TARGET`` where it has no name;
            empty where the part is no volume.
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
        reference: what the Compose file calls it.
        id: the engine's name of it; empty where the engine did not have it.
        digests: the names by which a registry knows it.
    """

    reference: str
    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        project: the project name of the stack.
        created: when, whole seconds since the epoch.
        dockwright: the version that made it.
        compression: the name of the codec of its parts.
        platform: of the engine, e.g. ``linux/amd64``.
        running: the services and processes that ran.
        images: by service.
        parts: its files, in their order.
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
        """The bytes of all contents."""
        return sum(part.size for part in self.parts)

    @property
    def stored(self) -> int:
        """The bytes of all parts as they are stored."""
        return sum(part.stored for part in self.parts)

    def part(self, name: str) -> Part | None:
        """Return the part of this name, if there is one."""
        return next((part for part in self.parts if part.name == name), None)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    def dump(self) -> bytes:
        """Return the file's content."""
        return json.dumps(self.document(), indent=2, sort_keys=True).encode() + b"\n"


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read what `Manifest.dump` wrote.

    Args:
        content: of the file.
        where: the backup, for messages.

    Raises:
        ArchiveError: it is something else, or of a later version.
    """
    try:
        document = json.loads(content)
        if document.pop("format") != FORMAT:
            raise ArchiveError(
                f"{where}: the backup has a format that this version does not know",
                hint="restore it with the version of dockwright that made it, or a later one",
            )
        manifest = _built(document)
        wrong = _wrong(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise ArchiveError(f"{where}: its manifest is not one of dockwright's") from exc
    if wrong:
        raise ArchiveError(f"{where}: its manifest is wrong: {wrong}")
    if manifest.dump() != content:
        raise ArchiveError(f"{where}: its manifest is not one of dockwright's")
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
    """Tell what of it cannot be; nothing where all can."""
    names = [part.name for part in manifest.parts]
    if not all(type(text) is str for text in _texts(manifest)):
        return "something in it is not a text"
    if len({name.lower() for name in names}) != len(names):
        return "it names a part twice"
    volumes = [part.volume for part in manifest.volumes]
    if len(set(volumes)) != len(volumes):
        return "it names a volume twice"
    if not _PROJECT.fullmatch(manifest.project) or not _is_within(manifest.created, _LAST):
        return "the project or the time is none"
    for part in manifest.parts:
        if not _PART.fullmatch(part.name):
            return f"there can be no part {part.name!r}"
        if part.name.startswith("volumes/") != bool(part.volume):
            return f"part {part.name} says that it is volume {part.volume!r}"
        sized = _is_within(part.size, _MOST_BYTES) and _is_within(part.stored, _MOST_BYTES)
        if not sized or not _SHA256.fullmatch(part.sha256):
            return f"part {part.name} has no right size or checksum"
    return "" if SPEC in names else f"there is no {SPEC}"


def _texts(manifest: Manifest) -> Iterator[object]:
    """Everything in it that has to be a text."""
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
    """Return the stored tar header of one member; its length depends on `name` alone."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, created
    return codec.stored(info.tobuf(tarfile.GNU_FORMAT))


def padding(codec: Codec, size: int) -> bytes:
    """Return the stored zeros that fill up a member of `size` bytes to whole blocks."""
    missing = -size % _BLOCK
    return codec.stored(bytes(missing)) if missing else b""


@dataclass(frozen=True, slots=True)
class Seal:
    """What finds the manifest of a file, and proves it.

    Attributes:
        offset: where the manifest's header begins in the file.
        size: the manifest's length.
        sha256: its checksum (hex).
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
        """Return the seal whose text stands somewhere in `content`."""
        match = _SEAL_TEXT.search(content)
        return cls(int(match[1]), int(match[2]), match[3].decode()) if match else None

    @property
    def text(self) -> bytes:
        """The content of the file; ``sha256sum -c`` reads it too."""
        return (
            f"# dockwright backup, format 1: manifest at byte {self.offset:020d}, "
            f"{self.size:012d} bytes long\n{self.sha256}  {MANIFEST}\n"
        ).encode()


_SEAL_LENGTH = len(Seal(0, 0, "0" * 64).text)


def ending(codec: Codec, seal: Seal, created: int) -> bytes:
    """Return what stands behind the manifest."""
    return b"".join(
        [
            header(codec, SEAL, _SEAL_LENGTH, created),
            codec.stored(seal.text),
            padding(codec, _SEAL_LENGTH),
            codec.stored(bytes(2 * _BLOCK)),
        ]
    )


def ending_length(codec: Codec) -> int:
    """Return how long every `ending` is."""
    return len(ending(codec, Seal(0, 0, "0" * 64), 0))


def with_manifest(codec: Codec, manifest: bytes, offset: int, created: int) -> bytes:
    """Return the manifest with its header and padding, and the ending behind them."""
    return b"".join(
        [
            header(codec, MANIFEST, len(manifest), created),
            codec.stored(manifest),
            padding(codec, len(manifest)),
            ending(codec, Seal.of(manifest, offset), created),
        ]
    )
