"""Small backups for tests, made without an engine."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from dockwright.managed.archive.layout import Codec, ImageOf, Manifest
from dockwright.managed.archive.read import Archive, open_archive
from dockwright.managed.archive.write import drafted

CREATED = 1_790_000_000
SPEC = b"name: shop\nservices: {}\n"


def tar_of(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """Return a tar of members; regular files get `content`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def directory(name: str) -> tarfile.TarInfo:
    """Return the header of a directory."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def volume_tar(size: int = 3000) -> bytes:
    """Return the tar of a volume ``data`` with one file that does not compress."""
    content = random.Random(1).randbytes(size)
    return tar_of(directory("data"), tarfile.TarInfo("data/rows"), content=content)


def write_backup(
    path: Path,
    codec: Codec,
    *,
    single: bool,
    volume: bytes | None = None,
    spec: bytes = SPEC,
    config: bytes | None = None,
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> Path:
    """Write a backup of one volume; return its path."""
    tar = volume_tar() if volume is None else volume
    with drafted(path, codec, CREATED, single=single) as draft:
        parts = (
            draft.add("compose.yaml", [spec]),
            *(() if config is None else (draft.add("config.tar", [config]),)),
            draft.add("volumes/data.tar", _pieces(tar), volume="data"),
        )
        manifest = Manifest(
            project="shop",
            created=CREATED,
            dockwright="0.1.0",
            compression=codec.name,
            platform="linux/amd64",
            running=("db",),
            images={"db": ImageOf("busybox:1", "sha256:" + "a" * 64)},
            parts=parts,
        )
        draft.finish(change(manifest))
    return path


def _pieces(content: bytes) -> Iterable[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


def read_whole(path: Path) -> Archive:
    """Open a backup, prove every byte of it, and decompress it."""
    archive = open_archive(path)
    archive.verify(lambda count: None)
    for part in archive.manifest.parts:
        archive.text(part)
    return archive
