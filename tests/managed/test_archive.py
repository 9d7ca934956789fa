"""A backup in one file or a directory: standard tools read it, and no changed byte escapes."""

from __future__ import annotations

import errno
import fcntl
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.errors import ArchiveError, DiskFullError, DockwrightError, UsageError
from dockwright.managed.archive.layout import GZIP, PLAIN, ZSTD, Codec, Manifest
from dockwright.managed.archive.read import open_archive
from dockwright.managed.archive.write import drafted, sweep
from tests._support.managed.archives import CREATED, SPEC, read_whole, volume_tar, write_backup

FORMS = [(ZSTD, True), (GZIP, True), (ZSTD, False), (GZIP, False), (PLAIN, False)]
forms = pytest.mark.parametrize(
    ("codec", "single"), FORMS, ids=[f"{c.name}-{'file' if s else 'dir'}" for c, s in FORMS]
)
files = pytest.mark.parametrize("codec", [ZSTD, GZIP], ids=["zstd", "gzip"])


@forms
def test_a_backup_round_trips(tmp_path: Path, codec: Codec, single: bool) -> None:
    archive = read_whole(write_backup(tmp_path / "b", codec, single=single))
    spec, volume = archive.manifest.parts
    assert archive.text(spec) == SPEC
    assert archive.text(volume) == volume_tar()
    assert (volume.name, volume.volume, volume.size) == (
        "volumes/data.tar",
        "data",
        len(volume_tar()),
    )
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


@forms
def test_a_backup_is_private(tmp_path: Path, codec: Codec, single: bool) -> None:
    path = write_backup(tmp_path / "b", codec, single=single)
    modes = {each.is_dir(): each.stat().st_mode & 0o777 for each in [path, *path.rglob("*")]}
    assert modes == ({False: 0o600} if single else {True: 0o700, False: 0o600})


@files
def test_tar_can_list_it(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / f"b.tar{codec.suffix}", codec, single=True)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", f"--{codec.name}", "-xf", path, "-C", out], check=True, timeout=30)
    assert (out / "compose.yaml").read_bytes() == SPEC
    assert (out / "volumes" / "data.tar").read_bytes() == volume_tar()
    checked = subprocess.run(
        ["sha256sum", "-c", "manifest.sha256"], cwd=out, capture_output=True, text=True, timeout=30
    )
    assert checked.stdout == "manifest.json: OK\n"


def test_the_files_of_a_directory_are_plain_tars(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b", GZIP, single=False)
    with tarfile.open(path / "volumes" / "data.tar.gz") as tar:
        assert tar.getnames() == ["data", "data/rows"]


@files
def test_every_changed_byte_is_detected(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / "b", codec, single=True)
    whole = path.read_bytes()
    random_ = random.Random(7)
    positions = [*range(0, len(whole), 23), *range(40), *range(len(whole) - 40, len(whole))]
    assert [at for at in positions if not _refused(path, _flipped(whole, at, random_))] == []


@files
def test_every_truncation_is_detected(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / "b", codec, single=True)
    whole = path.read_bytes()
    cuts = {*range(0, len(whole), 97), 1, 3, len(whole) - 1}
    assert [at for at in cuts if not _refused(path, whole[:at])] == []


@files
def test_trailing_data_is_detected(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / "b", codec, single=True)
    whole = path.read_bytes()
    for more in (b"\0", codec.stored(b""), whole):
        assert _refused(path, whole + more)


def _flipped(whole: bytes, at: int, random_: random.Random) -> bytes:
    return whole[:at] + bytes([whole[at] ^ (1 << random_.randrange(8))]) + whole[at + 1 :]


def _refused(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        open_archive(path).verify(lambda count: None)
    except (ArchiveError, UsageError):
        return True
    return False


@pytest.mark.parametrize("codec", [ZSTD, PLAIN], ids=["zstd", "plain"])
def test_a_changed_directory_is_detected(tmp_path: Path, codec: Codec) -> None:
    path = write_backup(tmp_path / "b", codec, single=False)
    for file in [each for each in path.rglob("*") if each.is_file()]:
        whole = file.read_bytes()
        for content in (_flipped(whole, len(whole) // 2, random.Random(1)), whole[:-1], whole * 2):
            file.write_bytes(content)
            with pytest.raises(DockwrightError):
                read_whole(path)
        file.unlink()
        with pytest.raises(DockwrightError, match=r"b is (damaged|not a backup): "):
            read_whole(path)
        file.write_bytes(whole)
    (path / "volumes" / "more.tar").touch()
    with pytest.raises(ArchiveError, match=r"volumes/more\.tar does not belong to the backup"):
        read_whole(path)


def test_a_link_in_a_directory_is_refused(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b", PLAIN, single=False)
    shutil.move(path / "compose.yaml", tmp_path / "elsewhere")
    (path / "compose.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match=r"compose\.yaml is not a plain file"):
        open_archive(path)


def test_a_file_that_is_not_a_backup(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        open_archive(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UsageError, match="is not a backup: it is neither a zstd nor a gzip file"):
        open_archive(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is not a backup: manifest\.json or"):
        open_archive(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: replace(m, parts=m.parts * 2), "two parts have the same name"),
        (lambda m: replace(m, parts=m.parts[1:]), r"compose\.yaml is missing"),
        (lambda m: _renamed(m, "volumes/../x.tar"), "invalid name of a part: "),
        (lambda m: _renamed(m, "/etc/passwd"), "invalid name of a part: '/etc/passwd'"),
        (lambda m: _renamed(m, "config.tar"), r"config\.tar claims to be volume 'data'"),
        (lambda m: replace(m, project="../up"), "the project name or the time is invalid"),
        (lambda m: replace(m, created="now"), "the project name or the time is invalid"),
    ],
)
def test_an_impossible_manifest_is_refused(tmp_path: Path, change: object, problem: str) -> None:
    path = write_backup(tmp_path / "b", PLAIN, single=False, change=change)  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match=problem):
        open_archive(path)


def _renamed(manifest: Manifest, name: str) -> Manifest:
    spec, volume = manifest.parts
    return replace(manifest, parts=(spec, replace(volume, name=name)))


def test_a_backup_of_a_newer_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockwright.managed.archive.layout.FORMAT", 2)
    path = write_backup(tmp_path / "b", PLAIN, single=False)
    monkeypatch.undo()
    with pytest.raises(ArchiveError, match="cannot read the format of this backup") as caught:
        open_archive(path)
    assert caught.value.hint == "restore it with the version of dockwright that made it, or a " + (
        "newer one"
    )


@forms
def test_a_failed_backup_leaves_nothing(tmp_path: Path, codec: Codec, single: bool) -> None:
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        drafted(tmp_path / "b", codec, CREATED, single=single) as draft,
    ):
        draft.add("volumes/data.tar", _failing(RuntimeError("on purpose")), volume="data")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="No space left on device") as caught,
        drafted(tmp_path / "b", ZSTD, CREATED, single=True) as draft,
    ):
        draft.add("volumes/data.tar", _failing(OSError(errno.ENOSPC, "No space left on device")))
    assert "the incomplete backup was removed" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def _failing(failure: Exception) -> Iterator[bytes]:
    yield b"some"
    raise failure


@forms
def test_the_old_backup_stays_until_the_new_one_is_complete(
    tmp_path: Path, codec: Codec, single: bool
) -> None:
    path = write_backup(tmp_path / "b", codec, single=single, volume=volume_tar(10))
    with pytest.raises(RuntimeError), drafted(path, codec, CREATED, single=single) as draft:
        draft.add("volumes/data.tar", _failing(RuntimeError()), volume="data")
    assert read_whole(path).manifest.parts[1].size == len(volume_tar(10))
    write_backup(path, codec, single=single)
    assert read_whole(path).manifest.parts[1].size == len(volume_tar())
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


def test_the_directory_of_a_backup_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the parent directory does not exist"):
        write_backup(tmp_path / "none" / "b", ZSTD, single=True)


def test_leftovers_of_killed_backups_are_removed(tmp_path: Path) -> None:
    dead_file, dead_directory = tmp_path / ".a.1.dockwright-part", tmp_path / ".b.2.dockwright-part"
    alive = tmp_path / ".c.3.dockwright-part"
    dead_file.touch()
    (dead_directory / "volumes").mkdir(parents=True)
    with alive.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [alive]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
