"""The config directory of a stack as one part of its backup."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dockwright._text import format_size
from dockwright.errors import UsageError
from dockwright.lifecycle.manifest import MOST_TEXT_BYTES

ROOT = "config"
_READ_BYTES = 1 << 18


def config_tar(directory: Path) -> Iterator[bytes]:
    """Yield a tar of the plain files of a directory, with modes and times."""
    files = sorted(
        each for each in directory.rglob("*") if each.is_file() and not each.is_symlink()
    )
    size = sum(file.stat().st_size + 3 * tarfile.BLOCKSIZE for file in files)
    if size > MOST_TEXT_BYTES:
        raise UsageError(
            f"{directory} holds {format_size(size)}, and a backup takes at most "
            f"{format_size(MOST_TEXT_BYTES)} of a config directory",
            hint="move what is no configuration elsewhere, into a volume for example",
        )
    for file in files:
        yield from _entry(file, f"{ROOT}/{file.relative_to(directory)}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(file: Path, name: str) -> Iterator[bytes]:
    with file.open("rb") as stream, tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
        info = tar.gettarinfo(arcname=name, fileobj=stream)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = info.size
        while left and (data := stream.read(min(left, _READ_BYTES))):
            left -= len(data)
            yield data
        # A file that became shorter meanwhile is filled up, or the tar would be none.
        yield bytes(left + -info.size % tarfile.BLOCKSIZE)
