"""Files on this host: made, moved, deleted; noticed by events, and without them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dockwright.errors import WaitFailedError, WaitTimeoutError
from dockwright.wait import (
    Cadence,
    File,
    FileDeleted,
    Target,
    WaitOptions,
    WaitReport,
    wait_for,
    watchers,
)
from dockwright.wait.strategy import WaitCondition

EVENTS_ONLY = WaitOptions(cadence=Cadence(first_s=30, ceiling_s=30))
"""Pauses longer than a test may last: only an event can end such a wait well."""


def soon(act: object, *arguments: object) -> None:
    threading.Timer(0.1, act, arguments).start()  # type: ignore[arg-type]  # any callable


def await_event(strategy: WaitCondition) -> WaitReport:
    report = wait_for(Target(), strategy, timeout_s=20, options=EVENTS_ONLY)
    assert report.elapsed_s < 10
    return report


def test_a_file_that_is_made_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    soon(path.touch)
    assert await_event(File(path)).value == path


def test_a_file_that_is_moved_into_place_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "draft").touch()
    soon((tmp_path / "draft").rename, tmp_path / "ready")
    await_event(File(tmp_path / "ready"))


def test_a_file_that_is_deleted_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    soon(path.unlink)
    await_event(FileDeleted(path))


def test_a_directory_that_is_deleted_with_its_parent_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "parent" / "data"
    path.mkdir(parents=True)

    def delete() -> None:
        path.rmdir()
        path.parent.rmdir()

    soon(delete)
    await_event(FileDeleted(path))


def test_a_file_in_a_directory_that_is_not_there_yet_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ready"

    def make() -> None:
        path.parent.mkdir(parents=True)
        path.touch()

    soon(make)
    assert wait_for(Target(), File(path), timeout_s=10).elapsed_s < 5


def test_polling_is_enough_where_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in ("_by_inotify", "_by_kqueue"):
        monkeypatch.setattr(watchers, source, lambda *_: None, raising=False)
    path = tmp_path / "ready"
    soon(path.touch)
    assert wait_for(Target(), File(path), timeout_s=10).attempts > 2


def test_a_busy_directory_does_not_make_a_busy_wait(tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            (tmp_path / "other").write_text("x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(WaitTimeoutError) as caught:
            wait_for(Target(), File(tmp_path / "ready"), timeout_s=0.5)
    finally:
        stop.set()
        writer.join()
    assert caught.value.attempts <= 30


def test_a_file_that_never_existed_counts_as_deleted(tmp_path: Path) -> None:
    assert wait_for(Target(), FileDeleted(tmp_path / "a" / "b")).attempts == 1


def test_the_root_directory_exists() -> None:
    wait_for(Target(), File("/"))
    with pytest.raises(WaitTimeoutError, match="last seen: / still exists"):
        wait_for(Target(), FileDeleted("/"), timeout_s=0)


def test_a_dangling_link_neither_exists_nor_is_deleted(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for strategy, seen in ((File(link), "does not exist"), (FileDeleted(link), "still exists")):
        with pytest.raises(WaitTimeoutError, match=f"last seen: .*link {seen}"):
            wait_for(Target(), strategy, timeout_s=0)


def test_a_relative_path_belongs_to_the_targets_directory(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    assert wait_for(Target(cwd=tmp_path), File("ready")).value == tmp_path / "ready"


def test_a_path_that_cannot_be_looked_at_is_a_failure(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(WaitFailedError, match="loop/x cannot be accessed: Too many levels"):
        wait_for(Target(), File(loop / "x"), timeout_s=5)


def test_no_descriptor_stays_open_after_a_wait(tmp_path: Path) -> None:
    before = _open_files(), threading.active_count()
    for number in range(5):
        with pytest.raises(WaitTimeoutError):
            wait_for(Target(), File(tmp_path / str(number)), timeout_s=0)
    assert (_open_files(), threading.active_count()) == before


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))
