"""What is meant to use up time or memory, or what readers read differently, is refused."""

from __future__ import annotations

import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.errors import ArchiveError, DockwrightError
from dockwright.managed.archive.layout import GZIP, ZSTD, Codec
from dockwright.managed.archive.read import check_members, open_archive, verify
from dockwright.managed.backup import config_tar
from dockwright.managed.backup_progress import Progress
from dockwright.managed.restore_undo import archived_config
from tests._support.hostile import failures
from tests._support.managed.archives import tar_of, write_backup
from tests._support.project import COMMAND

BLOCK = 512


def block(
    name: str, kind: bytes = b"0", size: bytes = b"", link: str = "", **fields: bytes
) -> bytes:
    """Return one header with fields as given and the right checksum."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:BLOCK])
    if size:
        header[124:136] = size.ljust(12, b"\0")
    for field, value in fields.items():
        start = {"uid": 108, "magic": 257, "name": 0}[field]
        header[start : start + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def extended(*records: bytes, kind: bytes = b"x") -> bytes:
    """Return an extended header with its records."""
    content = b""
    for record in records:
        length = len(record) + 2
        while len(b"%d %s\n" % (length, record)) != length:
            length += 1
        content += b"%d %s\n" % (length, record)
    padded = content + bytes(-len(content) % BLOCK)
    return block("PaxHeaders/x", kind, b"%011o" % len(content)) + padded


def checked(*blocks: bytes, trust: bool = False) -> None:
    content = b"".join([block("data/", b"5"), *blocks, bytes(2 * BLOCK)])
    pieces = (content[start : start + 700] for start in range(0, len(content), 700))
    check_members(pieces, "b: volume", root="data", target="/var/data", trust=trust)


FILE = block("data/f")

NOT_READ = [
    ("pax-size", [extended(b"size=100000000000000"), FILE], "it ends in the middle of a member"),
    (
        "pax-more",
        [extended(b"size=99999999999999999999"), FILE],
        "has a 'size' that backups",
    ),
    ("pax-no-number", [extended(b"size=-1"), FILE], "has a 'size' that backups"),
    ("octal-size", [block("data/f", size=b"77777777777")], "it ends in the middle of a member"),
    ("base-256", [block("data/f", size=b"\x80" + bytes(10) + b"\1")], "size in a header is not an"),
    ("negative", [block("data/f", size=b"\xff" * 12)], "size in a header is not an octal number"),
    ("base-256-uid", [block("data/f", uid=b"\x80" + bytes(7))], "uid in a header is not an octal"),
    ("no-number", [block("data/f", size=b"12x")], "size in a header is not an octal number"),
    ("sparse-name", [extended(b"GNU.sparse.name=data/x", b"path=data/f"), FILE], "GNU.sparse.name"),
    ("sparse-map", [extended(b"GNU.sparse.major=1", b"GNU.sparse.minor=0"), FILE], "sparse.major"),
    ("sparse-size", [extended(b"GNU.sparse.realsize=99999999999"), FILE], "GNU.sparse.realsize"),
    ("old-sparse", [block("data/f", b"S")], "a member has type b'S', which backups do not use"),
    ("long-name", [block("././@LongLink", b"L")], "a member has type b'L', which backups do"),
    ("long-link", [block("././@LongLink", b"K")], "a member has type b'K', which backups do"),
    ("global", [extended(b"path=data/x", kind=b"g"), FILE], "a member has type b'g', which"),
    ("sun", [extended(b"path=data/x", kind=b"X"), FILE], "a member has type b'X', which backups"),
    ("contiguous", [block("data/f", b"7")], "a member has type b'7', which backups do not use"),
    ("old-file", [block("data/f", b"\0")], "a member has type b'\\x00', which backups do not"),
    (
        "twice",
        [extended(b"path=data/a", b"path=data/b"), FILE],
        "has a 'path' that backups",
    ),
    ("empty-path", [extended(b"path="), FILE], "has a 'path' that backups"),
    ("null-path", [extended(b"path=data/f\0/../x"), FILE], "has a 'path' that backups"),
    (
        "charset",
        [extended(b"hdrcharset=ISO-IR 10646"), FILE],
        "has a 'hdrcharset' that backups",
    ),
    ("overlay", [extended(b"SCHILY.xattr.trusted.overlay.opaque=y"), FILE], "trusted.overlay"),
    ("two-headers", [extended(b"mtime=1"), extended(b"mtime=1"), FILE], "follows another one"),
    ("header-last", [extended(b"mtime=1")], "it ends with an extended header"),
    ("record-length", [block("x", b"x", b"4") + b"9 a=".ljust(BLOCK, b"\0"), FILE], "is damaged"),
    ("long-header", [block("x", b"x", b"77777777")], "of 16,777,215 bytes is longer than 1 MiB"),
    ("long-path", [extended(b"path=data/" + b"a/" * 3000), FILE], "longer than 4,096 bytes"),
    ("link-size", [block("data/l", b"2", b"1000", link="f")], "'data/l' cannot be 512 bytes long"),
    ("hard-size", [FILE, block("data/h", b"1", b"1000", link="data/f")], "cannot be 512 bytes"),
    ("file-as-directory", [block("data/f/")], "the type of a file and the name of a directory"),
    ("gnu-magic", [block("data/f", magic=b"ustar  \0")], "a header is not in POSIX format"),
    ("old-magic", [block("data/f", magic=bytes(8))], "a header is not in POSIX format"),
    ("checksum", [FILE[:148] + b"000001\0 " + FILE[156:]], "the checksum of a header is wrong"),
    ("two-members", [FILE, FILE], "two members have the same name"),
    (
        "two-kinds",
        [block("data/d", b"5"), block("data/d/", b"5")],
        "two members have the same name",
    ),
]


@pytest.mark.parametrize(
    ("blocks", "problem"), [each[1:] for each in NOT_READ], ids=[each[0] for each in NOT_READ]
)
def test_an_archive_that_readers_disagree_about_is_refused(
    blocks: list[bytes], problem: str
) -> None:
    for trust in (False, True):
        with pytest.raises(ArchiveError) as caught:
            checked(*blocks, trust=trust)
        assert str(caught.value).startswith("b: volume is not a valid tar: ")
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([block("data/l", b"2", link="a/b/../..")], "a link that leaves data: a/b/../.."),
        ([block("data/l", b"2", link="/var/data/x/../y")], "a link that leaves data: /var/data"),
        ([block("data/l", b"2", link="")], "is a link without a valid target"),
        ([block("data/h", b"1", link="data/./f")], "a link that leaves data: data/./f"),
        (
            [block("data/l", b"2", link="/var/data/d"), block("data/h", b"1", link="data/l/f")],
            "'data/h' is a hard link through a symbolic one: data/l/f",
        ),
        (
            [
                block("data/l", b"2", link="d"),
                block("data/h", b"1", link="data/l"),
                block("data/h/f"),
            ],
            "'data/h/f' would be written through a link",
        ),
        ([block("data//f")], "'data//f' is not below data"),
        ([block("data/./f")], "'data/./f' is not below data"),
    ],
)
def test_links_cannot_leave_the_directory_through_other_links(
    blocks: list[bytes], problem: str
) -> None:
    with pytest.raises(ArchiveError) as caught:
        checked(*blocks)
    assert problem in str(caught.value)


def test_the_members_that_backups_have_are_read() -> None:
    long = b"path=data/" + b"long/" * 60 + "ö".encode()
    attribute = b"SCHILY.xattr.security.capability=\1\0\0=\n\2"
    checked(
        extended(b"mtime=-12.5", b"uid=3000000", long, attribute, b"SCHILY.xattr.user.a=b"),
        block("data/short"),
        block("data/l", b"2", link="short"),
        block("data/h", b"1", link="data/l"),
        block("data/p", b"6"),
    )


def test_many_members_need_little_memory() -> None:
    def blocks() -> Iterator[bytes]:
        yield block("data/", b"5")
        for start in range(0, 100_000, 1000):
            yield b"".join(block(f"data/{start + n}") for n in range(1000))
        yield bytes(2 * BLOCK)

    check_members(blocks(), "b", root="data", target="/var/data")


@pytest.mark.parametrize("codec", [ZSTD, GZIP], ids=["zstd", "gzip"])
def test_a_stack_spec_that_unpacks_to_much_is_refused(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / "b", codec, single=True, spec=bytes(40 << 20))
    assert path.stat().st_size < 100_000

    with pytest.raises(ArchiveError) as caught:
        verify(open_archive(path), Progress())

    assert "b: compose.yaml unpacks to 41.9 MB; the limit for it is 16.8 MB" in str(caught.value)


def test_a_config_directory_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    config = tar_of(tarfile.TarInfo("config/a"), content=bytes(40 << 20))
    path = write_backup(tmp_path / "b", ZSTD, single=True, config=config)

    with pytest.raises(ArchiveError, match=r"config\.tar unpacks to 42\.0 MB; the limit"):
        archived_config(open_archive(path))


def test_a_config_directory_that_restore_would_refuse_is_not_backed_up(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20 << 20))

    with pytest.raises(
        DockwrightError, match=r"contains 21\.0 MB; a backup takes at most 16\.8 MB"
    ):
        list(config_tar(tmp_path))


def test_the_config_directory_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ("d" * 120)).mkdir(parents=True)
    (home / ("d" * 120) / "ö").write_bytes(b"x" * 600)
    (home / "empty").touch()
    path = write_backup(tmp_path / "b", ZSTD, single=True, config=b"".join(config_tar(home)))
    archive = open_archive(path)
    verify(archive, Progress())

    assert archived_config(archive) == {f"{'d' * 120}/ö": b"x" * 600, "empty": b""}


def test_a_part_is_one_gzip_member(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b", GZIP, single=False)
    archive = open_archive(path)
    (part,) = archive.manifest.volumes
    file = path / f"{part.name}.gz"
    file.write_bytes(file.read_bytes() + GZIP.stored(b""))

    with pytest.raises(ArchiveError, match=r"data after (its|the) end"):
        list(archive.content(replace(part, stored=file.stat().st_size)))


@pytest.mark.parametrize("created", [10**30, -1, True, 1.5])
def test_an_impossible_time_is_refused(tmp_path: Path, created: int) -> None:
    path = write_backup(
        tmp_path / "b",
        ZSTD,
        single=False,
        change=lambda manifest: replace(manifest, created=created),
    )

    with pytest.raises(ArchiveError, match="the project name or the time is invalid"):
        open_archive(path)


def test_a_large_directory_is_refused_without_a_search(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b", ZSTD, single=False)
    for number in range(10_001):
        (path / str(number)).touch()

    with pytest.raises(DockwrightError, match="is not a backup: it has more than 10,000 files"):
        open_archive(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_verification(tmp_path: Path, number: signal.Signals) -> None:
    members = block("data/", b"5") + block("data/f") * 200_000 + bytes(2 * BLOCK)
    path = write_backup(tmp_path / "b", ZSTD, single=True, volume=members)
    argv = [*COMMAND, "stack", "restore", str(path), "--verify-only"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not _verifies(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)

    assert "interrupted: stopping ..." in told
    assert process.returncode == 128 + number


def _verifies(pid: int) -> bool:
    names = [Path(each, "comm").read_text() for each in Path(f"/proc/{pid}/task").iterdir()]
    return any(name.startswith("dockwright-") for name in names) or len(names) > 3


def test_changed_backups_are_read_or_refused() -> None:
    assert not failures("tests._support.managed.archive_mutations", range(30))
