"""A strict reader of the tars in a backup: it accepts only what all tar readers understand alike.

Tar readers disagree about extensions, contradictory fields and damage. Here one program checks a
backup and another one, the engine, unpacks it, so no such difference may matter. This reader
accepts only what GNU tar (``--format=posix``) and the engines write. It rejects everything else:
GNU long names, GNU numbers, sparse files, global headers, and keywords in extended headers that
change what a member is.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "file", "hard link", "link", "character device", "device", "directory", "pipe"
]

_BLOCK = 512
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "character device",
    b"4": "device",
    b"5": "directory",
    b"6": "pipe",
}
_MAGIC = b"ustar\x0000"
_EXTENDED = b"x"
_NUMBER_FIELDS = (
    *(("mode", 100, 108), ("uid", 108, 116), ("gid", 116, 124)),
    *(("size", 124, 136), ("mtime", 136, 148), ("device", 329, 337), ("device", 337, 345)),
)
_MAX_EXTENDED = 1 << 20
_MAX_NAME = 4096
"""The longest path of Linux."""

_MAX_SIZE = 1 << 53
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n\0]+)=")
_NUMBER = re.compile(rb"[0-9]{1,16}")
_TIME = re.compile(rb"-?[0-9]{1,16}(\.[0-9]{1,20})?")
_NAMES = (b"path", b"linkpath", b"uname", b"gname")
_TIMES = (b"mtime", b"atime", b"ctime")
_NUMBERS = (b"size", b"uid", b"gid")
_ATTRIBUTE = re.compile(
    rb"SCHILY\.xattr\.(user\..+|security\.capability|system\.posix_acl_(access|default))"
)


class TarError(ValueError):
    """The tar is invalid, or readers may disagree about it; the message says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a tar.

    Attributes:
        name: its path as written, without a trailing slash.
        kind: its type.
        size: the length of its content in bytes.
        link: the target of a link or hard link.
    """

    name: str
    kind: Kind
    size: int = 0
    link: str = ""


class TarReader:
    """Reads a tar from pieces of bytes; holds at most one piece in memory.

    Args:
        chunks: the tar.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._unread = 0

    def members(self) -> Iterator[Member]:
        """Yield the members in order; only zeros may follow the last one.

        Raises:
            TarError: the tar is invalid, or readers may disagree about it.
        """
        extended: dict[bytes, bytes] | None = None
        while True:
            self._skip()
            block = self._exactly(_BLOCK)
            if not block.strip(b"\0"):
                break
            _check_header(block)
            if block[156:157] == _EXTENDED:
                if extended is not None:
                    raise TarError("an extended header follows another one")
                extended = self._extended(_octal(block[124:136], "size"))
                continue
            member = _member(block, extended or {})
            extended = None
            self._unread = member.size + -member.size % _BLOCK
            yield member
        if extended is not None:
            raise TarError("it ends with an extended header")
        self._end()

    def content(self, member: Member) -> bytes:
        """Return the content of the latest member; the caller has checked its size."""
        content = self._exactly(member.size)
        self._unread -= member.size
        return content

    def _extended(self, size: int) -> dict[bytes, bytes]:
        if size > _MAX_EXTENDED:
            raise TarError(f"an extended header of {size:,} bytes is longer than 1 MiB")
        records = _records(self._exactly(size))
        self._exactly(-size % _BLOCK)
        return records

    def _end(self) -> None:
        """Read the rest, which must be zeros: other readers may continue there."""
        while self._fill():
            if self._held.strip(b"\0"):
                raise TarError("there is data after its end")
            self._held = b""

    def _skip(self) -> None:
        while self._unread > len(self._held):
            self._unread -= len(self._held)
            self._held = b""
            if not self._fill():
                raise TarError("it ends in the middle of a member")
        self._held = self._held[self._unread :]
        self._unread = 0

    def _exactly(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count > len(self._held):
            count -= len(self._held)
            pieces.append(self._held)
            self._held = b""
            if not self._fill():
                raise TarError("it ends too early")
        pieces.append(self._held[:count])
        self._held = self._held[count:]
        return b"".join(pieces)

    def _fill(self) -> bool:
        while not self._held:
            piece = next(self._chunks, None)
            if piece is None:
                return False
            self._held = piece
        return True


def _check_header(block: bytes) -> None:
    expected = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _octal(block[148:156], "checksum") != expected:
        raise TarError("the checksum of a header is wrong")
    if block[257:265] != _MAGIC:
        raise TarError("a header is not in POSIX format")
    for field, start, end in _NUMBER_FIELDS:
        _octal(block[start:end], field)


def _member(block: bytes, extended: dict[bytes, bytes]) -> Member:
    kind = _KINDS.get(block[156:157])
    if kind is None:
        raise TarError(f"a member has type {block[156:157]!r}, which backups do not use")
    prefix, short = _text(block[345:500]), _text(block[:100])
    name = extended.get(b"path") or (prefix + b"/" + short if prefix else short)
    link = extended.get(b"linkpath") or _text(block[157:257])
    size = _octal(block[124:136], "size")
    size = int(extended[b"size"]) if b"size" in extended else size
    shown = name[:200].decode(errors="replace")
    if len(name) > _MAX_NAME or len(link) > _MAX_NAME:
        raise TarError(f"a path is longer than {_MAX_NAME:,} bytes: {shown!r}")
    if size > _MAX_SIZE or (size and kind != "file"):
        raise TarError(f"{shown!r} cannot be {size:,} bytes long")
    if kind == "file" and name.endswith(b"/"):
        raise TarError(f"{shown!r} has the type of a file and the name of a directory")
    decoded = name.decode(errors="surrogateescape")
    return Member(decoded.rstrip("/") or decoded, kind, size, link.decode(errors="surrogateescape"))


def _records(content: bytes) -> dict[bytes, bytes]:
    """Parse the records of an extended header: ``LENGTH KEYWORD=VALUE`` and a line break."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position)
        end = position + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise TarError("an extended header is damaged")
        keyword, value = match[2], content[match.end() : end - 1]
        if keyword in records or not _is_allowed(keyword, value):
            shown = keyword[:100].decode(errors="replace")
            raise TarError(f"an extended header has a {shown!r} that backups do not use")
        records[keyword] = value
        position = end
    return records


def _is_allowed(keyword: bytes, value: bytes) -> bool:
    if keyword in _NAMES:
        return bool(value) and b"\0" not in value
    if keyword in _NUMBERS:
        return bool(_NUMBER.fullmatch(value))
    if keyword in _TIMES:
        return bool(_TIME.fullmatch(value))
    return bool(_ATTRIBUTE.fullmatch(keyword)) or (keyword, value) == (b"hdrcharset", b"BINARY")


def _octal(field: bytes, what: str) -> int:
    match = _OCTAL.fullmatch(field)
    if not match:
        raise TarError(f"the {what} in a header is not an octal number")
    return int(match[1] or b"0", 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
