"""Files of containers and volumes, in and out as tar archives through the engine's API."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from dockwright.engine.containers import ContainerCalls
from dockwright.engine.http import Call, path
from dockwright.errors import EngineError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 1 << 18
_BLOCK_BYTES = 512
_END = bytes(2 * _BLOCK_BYTES)
_RENAMED = ("path", "linkpath")  # pax headers that would win over a member's new name


class ArchiveCalls(ContainerCalls):
    """The calls that copy files; the container need not run, nor ever have been started."""

    def archive_out(self, container: str, source: str) -> Generator[bytes, None, None]:
        """Yield a tar archive of a file or directory in a container, in pieces.

        Close it to stop before the end: until then the engine lets nobody else at the container.

        Args:
            container: its id or name.
            source: the path; the archive's entries begin with its last part.
        """
        call = Call(
            "GET",
            path("containers", container, "archive"),
            "read files of container",
            f"{container} ({source})",
            params={"path": source},
        )
        chunks = iter(self._http.stream(call))
        if self._http.can.whole_archives:
            yield from chunks
        else:
            yield from renamed(chunks, below(PurePosixPath(source).name))

    def archive_in(self, container: str, target: str, chunks: Iterable[bytes] | bytes) -> None:
        """Unpack a tar archive into a directory of a container, and the volumes below it.

        Args:
            container: its id or name.
            target: the directory, which must exist.
            chunks: the archive, whole or in pieces; read as fast as the engine unpacks.
        """
        if self._http.can.whole_archives:
            self._unpack(container, target, chunks)
            return
        mounts = self.inspect_container(container).get("Mounts") or ()
        places = [PurePosixPath(str(mount["Destination"])) for mount in mounts]
        if not any(PurePosixPath(target) in place.parents for place in places):
            self._unpack(container, target, chunks)
            return
        pieces = [chunks] if isinstance(chunks, bytes) else chunks
        with ExitStack() as files:
            try:
                divided = split(pieces, PurePosixPath(target), places, files)
            except tarfile.TarError as exc:
                raise EngineError(
                    f"cannot write files of container {container} ({target}): this is not a tar "
                    f"archive: {exc}"
                ) from exc
            for place, file in divided.items():
                self._unpack(container, str(place), iter(partial(file.read, _READ_BYTES), b""))

    def _unpack(self, container: str, target: str, chunks: Iterable[bytes] | bytes) -> None:
        call = Call(
            "PUT",
            path("containers", container, "archive"),
            "write files of container",
            f"{container} ({target})",
            params={"path": target},
            data=chunks,
        )
        self._http.send(call)


def below(root: str) -> Callable[[str], str]:
    """Return what puts names below a root that an engine has left out."""

    def rename(name: str) -> str:
        if name == root or name.startswith(f"{root}/"):
            return name
        return f"{root}/{name.strip('/')}".rstrip("/")

    return rename


class _Reader(io.RawIOBase):
    """A file of chunks, for tarfile."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer)
        while not self._rest and (chunk := next(self._chunks, None)) is not None:
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _members(
    chunks: Iterable[bytes],
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yield the members of an archive, one at a time, each with its content."""
    with tarfile.open(fileobj=io.BufferedReader(_Reader(chunks)), mode="r|") as archive:
        for member in archive:
            yield member, archive.extractfile(member) if member.isreg() else None
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them


def _written(member: tarfile.TarInfo, content: IO[bytes] | None) -> Iterator[bytes]:
    member.pax_headers = {
        key: value for key, value in member.pax_headers.items() if key not in _RENAMED
    }
    yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if content is not None:
        while chunk := content.read(_READ_BYTES):
            yield chunk
        yield bytes(-member.size % _BLOCK_BYTES)


def renamed(chunks: Iterable[bytes], rename: Callable[[str], str]) -> Generator[bytes, None, None]:
    """Yield an archive with other names of its members, in pieces."""
    for member, content in _members(chunks):
        member.name = rename(member.name)
        if member.islnk():
            member.linkname = rename(member.linkname)
        yield from _written(member, content)
    yield _END


def split(
    chunks: Iterable[bytes],
    target: PurePosixPath,
    places: Iterable[PurePosixPath],
    files: ExitStack,
) -> dict[PurePosixPath, IO[bytes]]:
    """Divide an archive by the mount points that its members are in.

    Args:
        chunks: the archive.
        target: the directory that it is for.
        places: the mount points of the container.
        files: closes what is returned.

    Returns:
        An archive for each mount point that has members, and for the target; parents first.
    """
    roots = sorted({target, *places}, key=lambda place: len(place.parts), reverse=True)
    divided: dict[PurePosixPath, IO[bytes]] = {}
    for member, content in _members(chunks):
        full = target / member.name.lstrip("/")
        root = next(place for place in roots if place == full or place in full.parents)
        member.name = str(full.relative_to(root))
        link = target / member.linkname.lstrip("/")
        if member.islnk() and root in link.parents:
            member.linkname = str(link.relative_to(root))
        if root not in divided:
            file = tempfile.TemporaryFile(prefix="dockwright-archive-")  # noqa: SIM115 - `files`
            divided[root] = files.enter_context(file)
        divided[root].writelines(_written(member, content))
    for written in divided.values():
        written.write(_END)
        written.seek(0)
    return {place: divided[place] for place in reversed(roots) if place in divided}
