"""Where what lies in a backup of one file.

Decompressed, such a file is a plain tar. As it is stored:

    header  part  padding      for each part; the part is packed, all else is stored as it is
    header  manifest  padding  ``manifest.json``
    header  seal               ``manifest.sha256``: always as long, so that it is found from the end
    end                        the zeros that end a tar

All but the parts follows from the manifest. A reader makes it anew and compares every byte.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass

from dockwright.lifecycle.archive_codec import Codec
from dockwright.lifecycle.manifest import MANIFEST, SEAL

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
