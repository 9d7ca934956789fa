"""What a backup may hold: nothing that could reach beyond the volume it is put into."""

from __future__ import annotations

import tarfile

import pytest

from dockwright.errors import ArchiveError
from dockwright.managed.archive.read import check_members
from tests._support.managed.archives import directory, tar_of, volume_tar


def entry(kind: bytes, name: str, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def check(*members: tarfile.TarInfo, trust: bool = False) -> None:
    content = tar_of(directory("data"), *members, content=b"x" * 700)
    check_members(iter([content]), "b: volume", root="data", target="/var/data", trust=trust)


def test_files_directories_and_inner_links_are_unpacked() -> None:
    check_members(iter([volume_tar()]), "b", root="data", target="/data")
    check(
        directory("data/a"),
        entry(tarfile.REGTYPE, "data/a/f"),
        entry(tarfile.SYMTYPE, "data/a/near", "f"),
        entry(tarfile.SYMTYPE, "data/a/up", "../a/f"),
        entry(tarfile.SYMTYPE, "data/within", "/var/data/a"),
        entry(tarfile.LNKTYPE, "data/hard", "data/a/f"),
        entry(tarfile.FIFOTYPE, "data/pipe"),
        entry(tarfile.REGTYPE, "data/" + "long/" * 60 + "name"),
    )


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (entry(tarfile.REGTYPE, "/etc/passwd"), "'/etc/passwd' has an absolute path"),
        (entry(tarfile.REGTYPE, "data/../../etc"), "has '..' in its path"),
        (entry(tarfile.DIRTYPE, "../data"), "has '..' in its path"),
        (entry(tarfile.REGTYPE, "other/f"), "'other/f' is not below data"),
        (entry(tarfile.REGTYPE, "database"), "'database' is not below data"),
    ],
)
def test_paths_that_leave_are_refused_always(member: tarfile.TarInfo, problem: str) -> None:
    for trust in (False, True):
        with pytest.raises(ArchiveError) as caught:
            check(member, trust=trust)
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (entry(tarfile.SYMTYPE, "data/l", "/etc/passwd"), "a link that leaves data: /etc/passwd"),
        (entry(tarfile.SYMTYPE, "data/l", "/var/database"), "a link that leaves data"),
        (entry(tarfile.SYMTYPE, "data/l", "../other"), "a link that leaves data: ../other"),
        (entry(tarfile.SYMTYPE, "data/l", "a/../../../x"), "a link that leaves data"),
        (entry(tarfile.SYMTYPE, "data/l", "/var/data/../x"), "a link that leaves data"),
        (entry(tarfile.LNKTYPE, "data/l", "/etc/shadow"), "a link that leaves data: /etc/shadow"),
        (entry(tarfile.LNKTYPE, "data/l", "data/../x"), "a link that leaves data"),
        (entry(tarfile.CHRTYPE, "data/null"), "'data/null' is a device"),
        (entry(tarfile.BLKTYPE, "data/disk"), "'data/disk' is a device"),
    ],
)
def test_links_that_leave_and_devices_need_trust(member: tarfile.TarInfo, problem: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        check(member)
    assert f"b: volume: {member.name!r} is " in str(caught.value)
    assert problem in str(caught.value)
    assert "--trust also restores devices and links that leave" in str(caught.value)
    check(member, trust=True)


@pytest.mark.parametrize("name", ["data/l/passwd", "data/l", "data/l/a/b"])
def test_nothing_is_written_through_a_link(name: str) -> None:
    with pytest.raises(ArchiveError, match="would be written through a link"):
        check(entry(tarfile.SYMTYPE, "data/l", "/etc"), entry(tarfile.REGTYPE, name), trust=True)


@pytest.mark.parametrize("content", [b"no tar at all" * 100, volume_tar()[:700]])
def test_a_file_that_is_not_a_tar_is_refused(content: bytes) -> None:
    with pytest.raises(ArchiveError, match="b is not a valid tar: "):
        check_members(iter([content]), "b", root="data", target="/data")


def with_end(end: bytes) -> list[bytes]:
    """Return a tar with another end, in pieces that fall anywhere."""
    content = tar_of(directory("data"), entry(tarfile.REGTYPE, "data/f"), content=b"x" * 700)
    whole = content.rstrip(b"\0")
    whole += bytes(-len(whole) % tarfile.BLOCKSIZE) + end
    return [whole[start : start + 1000] for start in range(0, len(whole), 1000)]


@pytest.mark.parametrize("blocks", [1, 2, 20, 600])
def test_a_tar_may_end_with_any_number_of_empty_blocks(blocks: int) -> None:
    check_members(iter(with_end(bytes(512 * blocks))), "b", root="data", target="/data")


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        (b"", "it ends too early"),
        (bytes(512) + entry(tarfile.CHRTYPE, "data/null").tobuf() + bytes(1024), "after its end"),
        (bytes(1024) + b"x", "there is data after its end"),
        (bytes(1024) + b"x" + bytes(300_000), "there is data after its end"),
    ],
)
def test_data_after_the_end_of_a_tar_is_refused(end: bytes, problem: str) -> None:
    with pytest.raises(ArchiveError, match=problem):
        check_members(iter(with_end(end)), "b", root="data", target="/data")
