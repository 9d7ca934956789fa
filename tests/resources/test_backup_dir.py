"""Room is made sure of before, the size is limited, and failures are told and may be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.errors import ResourceError, SizeLimitError, SpaceError
from dockwright.pool import RetainedStacks
from dockwright.resources import TemporaryBackupDir
from tests.resources.conftest import workspaces


def test_it_is_empty_private_and_gone_afterwards(state: Path) -> None:
    backup = TemporaryBackupDir(needs_bytes=1)
    with backup as directory:
        assert directory == backup.path
        assert list(directory.iterdir()) == []
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "volumes").mkdir()
        (directory / "volumes" / "data.tar").write_bytes(b"x" * 100)
        assert backup.size_bytes() == 100
    assert not directory.exists()
    assert workspaces(state) == []


def test_the_directory_is_created_where_requested(tmp_path: Path, state: Path) -> None:
    (tmp_path / "neighbour").touch()
    with TemporaryBackupDir(base=tmp_path) as directory:
        assert directory.parent == tmp_path
    assert (tmp_path / "neighbour").exists()
    assert not directory.exists()
    assert workspaces(state) == []


def test_too_little_space_is_reported_before_anything_begins(tmp_path: Path, state: Path) -> None:
    with (
        pytest.raises(SpaceError) as caught,
        TemporaryBackupDir(base=tmp_path, needs_bytes=2**60),
    ):
        pytest.fail("the block began")
    assert str(caught.value).startswith(f"backup directory: {tmp_path} has ")
    assert "free, but 1152921.5 TB are needed" in str(caught.value)
    assert "hint: free some space, or choose another place with base=" in str(caught.value)
    assert workspaces(state) == []
    assert list(tmp_path.glob("dw-test-*")) == []


def test_a_missing_directory_is_reported(tmp_path: Path, state: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ResourceError, match="No such file") as caught:
        TemporaryBackupDir(base=missing).__enter__()
    assert f"cannot make a directory in {missing}" in str(caught.value)
    assert workspaces(state) == []


def test_exceeding_the_limit_is_reported_when_asked_and_at_the_end(state: Path) -> None:
    backup = TemporaryBackupDir(limit_bytes=2048)
    with pytest.raises(SizeLimitError) as caught, backup as directory:
        (directory / "small").write_bytes(b"x" * 1024)
        backup.check()
        assert backup.free_bytes() == 1024
        (directory / "sub").mkdir()
        (directory / "sub" / "big.tar").write_bytes(b"x" * 4096)
        assert backup.free_bytes() == 0
        with pytest.raises(SizeLimitError):
            backup.check()
    assert str(caught.value) == (
        f"backup directory {directory} holds 5.1 kB in 2 files, more than its limit of 2.0 kB; "
        "the largest is sub/big.tar (4.1 kB)\n  hint: write less, or raise limit_bytes"
    )
    assert workspaces(state) == []


def test_hard_links_count_once_and_without_a_limit_the_disk_decides() -> None:
    backup = TemporaryBackupDir()
    with backup as directory:
        (directory / "one").write_bytes(b"x" * 1000)
        (directory / "two").hardlink_to(directory / "one")
        assert backup.size_bytes() == 1000
        assert backup.free_bytes() > 1000
        backup.check()


def test_a_failure_is_never_hidden_by_the_limit() -> None:
    with (
        pytest.raises(ValueError, match="the test's own"),
        TemporaryBackupDir(limit_bytes=1) as directory,
    ):
        (directory / "big").write_bytes(b"x" * 100)
        raise ValueError("the test's own")


@pytest.mark.parametrize("over_the_limit", [True, False])
def test_after_a_failure_it_is_kept_if_wanted(over_the_limit: bool, state: Path) -> None:
    backup = TemporaryBackupDir(limit_bytes=10, keep_on_failure=True)
    with pytest.raises((SizeLimitError, ValueError)) as caught, backup as directory:
        (directory / "left").write_bytes(b"x" * 100 if over_the_limit else b"x")
        if not over_the_limit:
            raise ValueError
    assert (directory / "left").exists()
    assert caught.value.__notes__ == [backup.kept]
    assert backup.kept == (
        f"kept backup directory:\n  directory {directory}\n  remove: dockwright clean --kept"
    )
    assert RetainedStacks(state / "kept").names() == set(workspaces(state))


def test_it_is_kept_on_demand() -> None:
    backup = TemporaryBackupDir()
    with backup as directory:
        backup.keep()
    assert directory.exists()


def test_misuse_is_reported() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        TemporaryBackupDir(limit_bytes=-1)
    backup = TemporaryBackupDir()
    with pytest.raises(RuntimeError, match="only inside of its with block"):
        backup.size_bytes()
    with backup, pytest.raises(RuntimeError, match="open already"):
        backup.__enter__()
