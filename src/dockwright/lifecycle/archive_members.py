"""What a tar within a backup may hold: nothing that could reach beyond the place it is put."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dockwright.errors import ArchiveError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 1 << 18


def check_members(
    chunks: Iterator[bytes], where: str, *, root: str, target: str, trust: bool = False
) -> None:
    """Read a whole tar, and refuse what must not be restored.

    Args:
        chunks: the tar.
        where: the backup and its part, for messages.
        root: the directory that all of it lies in.
        target: where that directory is mounted: absolute links below it stay inside.
        trust: also allow links that leave it, and devices: the backup is one's own.

    Raises:
        ArchiveError: it holds absolute or climbing paths, links that leave, devices, or things
            that are put where a link leads; or it is no tar.
    """
    links: set[PurePosixPath] = set()
    source = Chunks(chunks)
    try:
        file = io.BufferedReader(source, _READ_BYTES)
        with tarfile.open(fileobj=file, mode="r|", bufsize=_READ_BYTES) as tar:
            for member in _each(tar):
                problem = _path_problem(member.name, root, links)
                if not problem and not trust:
                    problem = _kind_problem(member, root, target)
                if problem:
                    raise ArchiveError(
                        f"{where}: {member.name!r} {problem}", hint="nothing was touched" + _TRUST
                    )
                if member.issym():
                    links.add(PurePosixPath(member.name))
            source.drain()
            if source.length < tar.offset + tarfile.BLOCKSIZE:
                raise ArchiveError(f"{where} is not a right tar: it has no end")
            if source.filled > tar.offset:  # others who unpack it may go on there
                raise ArchiveError(f"{where} is not a right tar: something follows its end")
    except (tarfile.TarError, EOFError, UnicodeError) as exc:
        raise ArchiveError(f"{where} is not a right tar: {exc}") from exc


_TRUST = "; where the backup is your own, --trust restores links that leave and devices as they are"


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while member := tar.next():
        tar.members = []  # type: ignore[attr-defined]  # or it would remember them all
        yield member


def _path_problem(name: str, root: str, links: set[PurePosixPath]) -> str:
    path = PurePosixPath(name)
    if path.is_absolute():
        return "has an absolute path"
    if ".." in path.parts:
        return "has '..' in its path"
    if not path.parts or path.parts[0] != root:
        return f"is not below {root}"
    if path in links or any(parent in links for parent in path.parents):
        return "would be put where a link leads"
    return ""


def _kind_problem(member: tarfile.TarInfo, root: str, target: str) -> str:
    if member.ischr() or member.isblk():
        return "is a device"
    if member.islnk() and not _stays(PurePosixPath(member.linkname), root):
        return f"is a link that leaves {root}: {member.linkname}"
    if member.issym():
        link = PurePosixPath(member.linkname)
        if link.is_absolute():
            stays = _stays(PurePosixPath(root, *_below(link, target)), root)
            stays = stays and link.is_relative_to(target)
        else:
            stays = _stays(PurePosixPath(member.name).parent / link, root)
        if not stays:
            return f"is a link that leaves {root}: {member.linkname}"
    return ""


def _below(link: PurePosixPath, target: str) -> tuple[str, ...]:
    return link.relative_to(target).parts if link.is_relative_to(target) else ()


def _stays(path: PurePosixPath, root: str) -> bool:
    """Tell whether a path, which may climb, never leaves `root`."""
    depth = 0
    for position, part in enumerate(path.parts):
        if position == 0:
            if part != root:
                return False
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return bool(path.parts)


class Chunks(io.RawIOBase):
    """Pieces of bytes as a file.

    Attributes:
        length: how many bytes came until now.
        filled: how many of them until the last one that is not zero.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.length = 0
        self.filled = 0
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` as far as one piece does."""
        if not self._left:
            piece = next(self._chunks, b"")
            self._count(piece)
            self._left = memoryview(piece)
        view = memoryview(buffer)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def drain(self) -> None:
        """Read all that is left."""
        for piece in self._chunks:
            self._count(piece)

    def _count(self, piece: bytes) -> None:
        if text := piece.rstrip(b"\0"):
            self.filled = self.length + len(text)
        self.length += len(piece)
