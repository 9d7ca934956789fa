"""Reads a backup: finds its parts, verifies all of it, and checks what its tars contain."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from dockwright._text import format_size
from dockwright.errors import ArchiveError, UsageError
from dockwright.managed.archive.layout import (
    CODECS,
    CONFIG,
    GZIP,
    MANIFEST,
    MOST_TEXT_BYTES,
    SEAL,
    SPEC,
    ZSTD,
    Codec,
    Manifest,
    Part,
    Seal,
    decoding,
    ending_length,
    header,
    padding,
    parse_manifest,
    with_manifest,
)
from dockwright.managed.archive.write import codec_in_directory
from dockwright.managed.archive_tar import Member, TarError, TarReader
from dockwright.managed.backup import ROOT, read_spec
from dockwright.managed.backup_progress import Progress, ahead
from dockwright.model import StackSpec
from dockwright.untrusted import UnreadableError, read_plain

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_BYTES = 1 << 18
_MANIFEST_LIMIT = 4 << 20
_MOST_FILES = 10_000

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of one part: a file, and where the part starts in it."""

    path: Path
    start: int
    codec: Codec


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that is open for reading; see `open_archive`.

    Attributes:
        path: the file or directory.
        manifest: its contents.
    """

    path: Path
    manifest: Manifest
    _places: dict[str, _Place] = field(repr=False)

    def verify(self, on_bytes: OnBytes) -> None:
        """Read everything and compare it with its checksums.

        Args:
            on_bytes: called with the length of each piece; may raise to stop.

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
        """Yield the decompressed content of a part.

        Raises:
            ArchiveError: the content does not match the manifest.
        """
        where = f"{self.path}: {part.name}"
        left = part.size
        with decoding(where), self._stored(part) as packed:
            content = self._places[part.name].codec.unpacked(packed)
            while left and (data := content.read(min(left, _READ_BYTES))):
                left -= len(data)
                yield data
            if left or content.read(1) or packed.read(1):
                raise ArchiveError(f"{where}: its length does not match the manifest", hint=_HINT)

    def text(self, part: Part) -> bytes:
        """Return the content of a small part.

        Raises:
            ArchiveError: the content does not match the manifest, or is too long.
        """
        if part.size > MOST_TEXT_BYTES:
            raise ArchiveError(
                f"{self.path}: {part.name} unpacks to {format_size(part.size)}; the limit for it "
                f"is {format_size(MOST_TEXT_BYTES)}",
                hint=_HINT,
            )
        return b"".join(self.content(part))

    def _stored(self, part: Part) -> io.BufferedReader:
        place = self._places[part.name]
        section = _Section(place.path, place.start, part.stored)
        return io.BufferedReader(section, buffer_size=_READ_BYTES)


_WHAT = "give a file or directory that `dockwright stack backup` has written"
_HINT = "nothing was changed; use another backup, or copy this one again from an intact original"


def open_archive(path: Path) -> Archive:
    """Open a backup: read its manifest, and verify everything except the parts themselves.

    Raises:
        UsageError: there is no backup at `path`.
        ArchiveError: the backup is damaged.
    """
    if path.is_dir():
        return _open_directory(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file or directory", hint=_WHAT)
    with path.open("rb") as file:
        return _File(path, file).archive()


class _File:
    """A backup in one file; see `layout`."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._length = os.fstat(file.fileno()).st_size
        start = file.read(4)
        codec = next((each for each in (ZSTD, GZIP) if start.startswith(each.magic)), None)
        if codec is None:
            raise UsageError(
                f"{path} is not a backup: it is neither a zstd nor a gzip file",
                hint="`dockwright stack backup` writes .tar.zst files, .tar.gz files and "
                "directories",
            )
        self._codec = codec

    def archive(self) -> Archive:
        """Verify everything except the content of the parts, and return the archive."""
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
            raise self._damaged("there is a gap after its parts")
        expected = with_manifest(self._codec, manifest.dump(), position, manifest.created)
        if position + self._expect(expected, position) != self._length:
            raise self._damaged("there is data after its end")
        return Archive(self._path, manifest, places)

    def _seal(self) -> Seal:
        length = ending_length(self._codec)
        seal = Seal.find(self._at(self._length - length, length)) if length < self._length else None
        if seal is None or not seal.offset < self._length or seal.size > _MANIFEST_LIMIT:
            raise self._damaged("its end is missing or wrong: it is incomplete, or not a backup")
        return seal

    def _manifest(self, seal: Seal) -> Manifest:
        # The lengths of the header and of the stored content do not depend on what they contain.
        before = len(header(self._codec, MANIFEST, seal.size, 0))
        stored = self._at(seal.offset + before, len(self._codec.stored(bytes(seal.size))))
        with decoding(str(self._path)):
            content = self._codec.unpacked(io.BytesIO(stored)).read(seal.size)
        if Seal.of(content, seal.offset) != seal:
            raise self._damaged("the checksum of its manifest is wrong")
        manifest = parse_manifest(content, str(self._path))
        if manifest.compression != self._codec.name:
            raise self._damaged("its manifest names another compression")
        return manifest

    def _expect(self, expected: bytes, position: int) -> int:
        if self._at(position, len(expected)) != expected:
            raise self._damaged(f"unexpected data between its parts near byte {position}")
        return len(expected)

    def _at(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(length)

    def _damaged(self, how: str) -> ArchiveError:
        return ArchiveError(f"{self._path} is damaged: {how}", hint=_HINT)


def _open_directory(path: Path) -> Archive:
    if not (path / MANIFEST).is_file() or not (path / SEAL).is_file():
        raise UsageError(f"{path} is not a backup: {MANIFEST} or {SEAL} is missing", hint=_WHAT)
    found = list(islice(path.rglob("*"), _MOST_FILES + 1))
    if len(found) > _MOST_FILES:
        raise UsageError(f"{path} is not a backup: it has more than {_MOST_FILES:,} files")
    files = {str(file.relative_to(path)): file for file in found if not _is_dir(file)}
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
        raise ArchiveError(f"{path}: unknown compression {manifest.compression!r}")
    places: dict[str, _Place] = {}
    for part in manifest.parts:
        codec = codec_in_directory(part.name, CODECS[manifest.compression])
        name = f"{part.name}{codec.suffix}"
        if name not in files or files[name].stat().st_size != part.stored:
            problem = "has the wrong size" if name in files else "is missing"
            raise ArchiveError(f"{path} is damaged: {name} {problem}", hint=_HINT)
        places[part.name] = _Place(files.pop(name), 0, codec)
    if foreign := files.keys() - {MANIFEST, SEAL}:
        raise ArchiveError(f"{path}: {min(foreign)} does not belong to the backup")
    return Archive(path, manifest, places)


def _is_dir(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


class _Section(io.RawIOBase):
    """Part of a file, as a file of its own."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = length

    def readable(self) -> bool:
        """Return True."""
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


_MOST_MEMBERS = 10_000_000
_MOST_LINKS = 500_000
_TRUST = "; if you trust its source, --trust also restores devices and links that leave a volume"


def check_members(
    chunks: Iterator[bytes], where: str, *, root: str, target: str, trust: bool = False
) -> None:
    """Read a whole tar, and raise if it contains something that must not be restored.

    Args:
        chunks: the tar.
        where: the backup and its part, for messages.
        root: the top directory that must contain everything.
        target: where that directory is mounted; absolute links below it are allowed.
        trust: also allow devices, and links that leave the top directory.

    Raises:
        ArchiveError: it has absolute paths or paths with ``..``, links that leave the top
            directory, devices, members behind a link, two members with the same name, or too many
            members; or it is not a valid tar.
    """
    seen, links = _Names(), _Links()
    try:
        for member in TarReader(chunks).members():
            problem = _path_problem(member.name, root, links) or _link_problem(member, links)
            if not problem and not trust:
                problem = _kind_problem(member, root, target)
            if problem:
                raise ArchiveError(
                    f"{where}: {member.name!r} {problem}", hint="nothing was changed" + _TRUST
                )
            seen.add(member.name)
            if member.kind == "link" or (member.kind == "hard link" and member.link in links):
                links.add(member.name)
        seen.check()
    except TarError as exc:
        hint = "nothing was changed; backups made by dockwright contain only plain tars"
        raise ArchiveError(f"{where} is not a valid tar: {exc}", hint=hint) from exc


class _Names:
    """Finds duplicate names with a few bytes for each: it keeps hashes (Python seeds `hash`)."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = [array("q") for _ in range(256)]

    def add(self, name: str) -> None:
        self._count += 1
        if self._count > _MOST_MEMBERS:
            raise TarError(f"it has more than {_MOST_MEMBERS:,} members")
        number = hash(name)
        self._hashes[number & 255].append(number)

    def check(self) -> None:
        if any(len(set(part)) < len(part) for part in self._hashes):
            raise TarError("two members have the same name")


class _Links:
    """The symbolic links in a tar so far."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, name: str) -> None:
        if len(self._hashes) >= _MOST_LINKS:
            raise TarError(f"it has more than {_MOST_LINKS:,} symbolic links")
        self._hashes.add(hash(name))

    def __contains__(self, name: str) -> bool:
        return hash(name) in self._hashes

    def lead_to(self, name: str) -> bool:
        """Return whether a path goes through one of the links."""
        if not self._hashes:
            return False
        return any(name[:index] in self for index, char in enumerate(name) if char == "/")


def _path_problem(name: str, root: str, links: _Links) -> str:
    parts = name.split("/")
    if name.startswith("/"):
        return "has an absolute path"
    if ".." in parts:
        return "has '..' in its path"
    if not _is_clean(parts, root):
        return f"is not below {root}"
    return "would be written through a link" if name in links or links.lead_to(name) else ""


def _is_clean(parts: list[str], root: str) -> bool:
    return parts[0] == root and not {"", ".", ".."} & set(parts)


def _link_problem(member: Member, links: _Links) -> str:
    if member.kind == "hard link" and links.lead_to(member.link):
        return f"is a hard link through a symbolic one: {member.link}"
    if "\0" in member.link or (not member.link and member.kind in ("link", "hard link")):
        return "is a link without a valid target"
    return ""


def _kind_problem(member: Member, root: str, target: str) -> str:
    if member.kind in ("character device", "device"):
        return "is a device"
    if member.kind == "hard link" and not _is_clean(member.link.split("/"), root):
        return f"is a link that leaves {root}: {member.link}"
    if member.kind == "link" and not _link_stays(member, root, target):
        return f"is a link that leaves {root}: {member.link}"
    return ""


def _link_stays(member: Member, root: str, target: str) -> bool:
    link = PurePosixPath(member.link)
    # A '..' after a name may start from elsewhere: that name may be a link itself.
    if any(part == ".." and before != ".." for before, part in pairwise(link.parts)):
        return False
    if link.is_absolute():
        return link.is_relative_to(target)
    return _stays(PurePosixPath(member.name).parent / link, root)


def _stays(path: PurePosixPath, root: str) -> bool:
    """Return whether a path, which may contain ``..``, never leaves `root`."""
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


def spec_part(archive: Archive) -> Part:
    """Return the part with the stack spec."""
    return next(part for part in archive.manifest.parts if part.name == SPEC)


def archived_spec(
    archive: Archive, *, project: str, working_dir: Path, values: Mapping[str, str] | None = None
) -> StackSpec:
    """Return the stack spec in a backup, for this host; see `read_spec`."""
    return read_spec(
        archive.text(spec_part(archive)), project=project, working_dir=working_dir, values=values
    )


def verify(archive: Archive, progress: Progress, *, trust: bool = False) -> None:
    """Verify every byte of a backup, and that it contains nothing that must not be restored.

    Args:
        archive: the backup.
        progress: shows the progress, and can cancel the verification.
        trust: allow devices, and links that leave their volumes.

    Raises:
        ArchiveError: something is wrong; says what and where.
    """
    manifest = archive.manifest
    progress.begin("verifying the backup", manifest.stored)
    # Two threads use two cores: one hashes the compressed bytes, the other checks the contents.
    with ThreadPoolExecutor(1, thread_name_prefix="dockwright-verify") as pool:
        contents = pool.submit(_check_contents, archive, progress, trust=trust)
        archive.verify(progress.advance)
        contents.result()


def _check_contents(archive: Archive, progress: Progress, *, trust: bool) -> None:
    with tempfile.TemporaryDirectory() as nowhere:
        spec = archived_spec(archive, project=archive.manifest.project, working_dir=Path(nowhere))
    targets = _targets(spec)
    for part in archive.manifest.parts:
        if part.name.endswith(".tar"):
            with ahead(archive.content(part)) as chunks:
                check_members(
                    _cancellable(chunks, progress),
                    f"{archive.path}: {part.name}",
                    root=ROOT if part.name == CONFIG else root_of(part),
                    target=targets.get(part.volume, ""),
                    trust=trust,
                )


def _cancellable(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress.check()
        yield chunk


def root_of(volume: Part) -> str:
    """Return the top directory in the tar of a volume."""
    return volume.name.removeprefix("volumes/").removesuffix(".tar")


def _targets(spec: StackSpec) -> dict[str, str]:
    """Return where each volume is mounted: absolute links to below that stay in the volume."""
    targets: dict[str, str] = {}
    for service in spec.services.values():
        for mount in service.mounts:
            if mount.kind == "volume":
                key = mount.source or f"{service.name}:{mount.target}"
                targets.setdefault(key, mount.target)
    return targets
