"""Backups with mistakes and malice in them: a small backup, changed by a seed."""

from __future__ import annotations

import io
import random
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from dockwright.managed.archive.layout import GZIP, PLAIN, ZSTD
from dockwright.managed.archive.read import open_archive, verify
from dockwright.managed.backup_progress import Progress
from dockwright.managed.restore_undo import archived_config
from tests._support.hostile import main
from tests._support.managed.archives import write_backup

_FORMS = [(ZSTD, True), (GZIP, True), (ZSTD, False), (GZIP, False), (PLAIN, False)]
_KEYWORDS = ("path", "linkpath", "size", "GNU.sparse.name", "GNU.sparse.major", "hdrcharset", "uid")
_VALUES = ("", "data/x", "../x", "/etc/passwd", "1e30", "-1", "9" * 400, "10" * 20, "\0", "data/\n")
_SPECS = (
    b"services: {}\n",
    b"\0",
    b"[" * 5000,
    b"services: {a: {image: x, ports: ['1-65535:1-65535']}}\n",
    b"services: {a: {image: x, env_file: /dev/zero}}\n",
    b"x: " + b"a" * (5 << 20),
    b"services: {a: {image: x, volumes: ['data:/data']}}\nvolumes: {data: {}}\n",
)


def _tar(rng: random.Random) -> bytes:
    """Return a tar of members as no tool writes them."""
    buffer = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for _ in range(rng.randint(0, 30)):
            name = rng.choice(("data", "data/a", "data/a/b", "data/l", "config/x", "..", "/x"))
            info = tarfile.TarInfo(name + rng.choice(("", "", "", "/", "/..", "/c" * 3000)))
            info.type = rng.choice(b"0012345567SLKgxV").to_bytes(1, "big")
            info.linkname = rng.choice(("", "a", "../a", "data/a", "/etc", "x" * 200))
            if rng.random() < 0.3:
                info.pax_headers = {rng.choice(_KEYWORDS): rng.choice(_VALUES)}
            content = rng.randbytes(rng.choice((0, 0, 10, 600)))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _bytes(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, most of them in headers."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        if changed:
            at = rng.randrange(len(changed))
            at = min(at // 512 * 512 + rng.choice((0, 124, 136, 156, 257, 345, at % 512)), at)
            changed[at] = rng.choice((0, 0x80, 0xFF, ord("7"), rng.randrange(256)))
    return bytes(changed)


def _right_sums(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, and give each header the checksum that is then right."""
    changed = bytearray(_bytes(content, rng))
    for at in range(0, len(changed) - 511, 512):
        if changed[at + 257 : at + 262] == b"ustar":
            changed[at + 148 : at + 156] = b" " * 8
            changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + 512])
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _repeated(content: bytes, rng: random.Random) -> bytes:
    return content + content[rng.randrange(len(content) + 1) :]


def _bomb(content: bytes, rng: random.Random) -> bytes:
    """Append what compresses well."""
    return content + bytes([rng.choice((0, 65))]) * (20 << 20)


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_bytes, _right_sums, _right_sums, _right_sums, _cut, _repeated),
)


def attempt(seed: int) -> None:
    """Open, verify and read one changed backup."""
    rng = random.Random(seed)
    codec, single = rng.choice(_FORMS)
    tar = _tar(rng)
    if rng.random() < 0.7:
        tar = rng.choice(_CHANGES)(tar, rng)
    if rng.random() < 0.05:
        tar = _bomb(tar, rng)
    with tempfile.TemporaryDirectory() as directory:
        spec, config = rng.choice(_SPECS), tar if rng.random() < 0.3 else None
        path = write_backup(
            Path(directory, "b"), codec, single=single, volume=tar, spec=spec, config=config
        )
        if rng.random() < 0.3:
            file = path if single else rng.choice(sorted(path.rglob("*.*")))
            file.write_bytes(rng.choice(_CHANGES)(file.read_bytes(), rng))
        archive = open_archive(path)
        verify(archive, Progress(), trust=rng.random() < 0.3)
        archived_config(archive)


if __name__ == "__main__":
    main(attempt)
