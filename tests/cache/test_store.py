"""Entries come whole or not at all, stay while they are read, and go when they must."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore, Bounds
from dockwright.paths import baselines_directory
from tests._support.cache_entries import finish, keys, put, tar_of, volumes_of
from tests.cache.conftest import Clock

DAY_S = 86_400.0


def test_an_entry_holds_what_was_written(store: BaselineStore) -> None:
    first, second = tar_of(a=b"x" * 300_000, b=b""), tar_of(c=os.urandom(5_000))
    assert put(store, "key", first, second)
    with store.reading("key") as stored:
        assert stored is not None
        assert volumes_of(stored) == [first, second]
        assert [part.tar_bytes for part in stored.manifest.parts] == [len(first), len(second)]
        assert [part.target for part in stored.manifest.parts] == ["/data0", "/data1"]


def test_an_unknown_key_has_no_entry_and_makes_no_directory(store: BaselineStore) -> None:
    with store.reading("key") as stored:
        assert stored is None
    assert store.entries() == []
    assert store.remove(["key"]) == []
    assert not store.directory.exists()


def test_only_the_user_can_read_it(store: BaselineStore) -> None:
    before = os.umask(0)
    try:
        put(store, "key")
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (store.directory, *store.directory.rglob("*"))
    }
    assert modes == {"baselines": 0o700, "key": 0o700, "0.tar.zst": 0o600, "manifest.json": 0o600}


@pytest.mark.parametrize("file", ["0.tar.zst", "manifest.json"])
def test_one_changed_byte_is_found_and_the_entry_rebuilt(
    store: BaselineStore, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, "key", tar_of(a=os.urandom(10_000)))
    path = store.directory / "key" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if file == "0.tar.zst" else 0] ^= 0xFF
    path.write_bytes(content)
    with store.reading("key") as stored:
        assert stored is None
    assert "discarding the cached baseline key" in caplog.text
    assert keys(store) == []
    assert put(store, "key")
    assert keys(store) == ["key"]


def test_an_entry_with_a_missing_volume_is_ignored(store: BaselineStore) -> None:
    put(store, "key")
    (store.directory / "key" / "0.tar.zst").unlink()
    with store.reading("key") as stored:
        assert stored is None


def test_an_unpublished_draft_leaves_nothing(store: BaselineStore) -> None:
    with store.draft("key") as draft:  # type: ignore[union-attr]  # nobody else writes it
        draft.add("db", "/data", [b"some bytes"])
    assert list(store.directory.iterdir()) == []
    assert put(store, "key")


def test_a_draft_that_is_called_off_leaves_nothing(store: BaselineStore) -> None:
    draft = store.draft("key")
    assert draft is not None
    with draft:
        draft.add("db", "/data", [b"some bytes"])
        assert not draft.finish(lambda parts: pytest.fail("finished"), wanted=lambda: False)
    assert list(store.directory.iterdir()) == []


def test_an_entry_is_written_once(store: BaselineStore) -> None:
    assert put(store, "key")
    assert store.draft("key") is None


def test_the_first_of_several_concurrent_writers_wins(store: BaselineStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        wrote = list(threads.map(lambda _: put(BaselineStore(store.directory), "key"), range(24)))
    assert wrote.count(True) == 1
    with store.reading("key") as stored:
        assert stored is not None


def test_readers_and_writers_of_many_keys_do_not_meet(store: BaselineStore) -> None:
    bounds = Bounds(size_bytes=2_000)
    content = tar_of(a=b"the same for all")

    def work(number: int) -> int:
        mine = BaselineStore(store.directory, bounds=bounds)
        key = f"key{number % 5}"
        put(mine, key, content)
        with mine.reading(key) as stored:
            if stored is not None:
                assert volumes_of(stored) == [content]
            return stored is not None

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(100)))
    assert any(found)
    assert all(not path.name.startswith(".") for path in store.directory.iterdir())


KILLED = """
import os, sys
from pathlib import Path
from dockwright.cache import BaselineStore
from tests._support.cache_entries import describe

store = BaselineStore(Path(sys.argv[1]))
draft = store.draft("key")

def endless():
    while True:
        yield b"x" * 65536
        print("written", flush=True)

if sys.argv[2] == "reading":
    draft.add("db", "/data", endless())
draft.add("db", "/data", [b"x"])
for _ in "finish":
    draft.finish(lambda parts: describe("key", parts), wanted=lambda: True)
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["reading", "publishing"])
def test_a_killed_writer_leaves_no_half_entry(store: BaselineStore, moment: str) -> None:
    command = [sys.executable, "-c", KILLED, str(store.directory), moment]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        assert store.draft("key") is None  # it is being written
        writer.send_signal(signal.SIGKILL)
    assert keys(store) == []
    with store.reading("key") as stored:
        assert stored is None
    assert put(store, "key", tar_of(a=b"whole"))
    assert [path.name for path in store.directory.iterdir()] == ["key"]


def test_the_least_recently_used_goes_when_there_is_too_much(tmp_path: Path, clock: Clock) -> None:
    store = BaselineStore(tmp_path / "b", bounds=Bounds(size_bytes=25_000), clock=clock)
    content = tar_of(a=random.Random(1).randbytes(10_000))
    for key in ("first", "second"):
        clock.now += 10
        put(store, key, content)
        with store.reading(key):
            pass
    clock.now += 10
    with store.reading("first"):
        pass
    clock.now += 10
    put(store, "third", content)
    assert sorted(keys(store)) == ["first", "third"]


def test_an_entry_that_is_too_large_for_the_store_does_not_stay(
    tmp_path: Path, clock: Clock
) -> None:
    store = BaselineStore(tmp_path / "b", bounds=Bounds(size_bytes=1_000), clock=clock)
    put(store, "large", tar_of(a=random.Random(1).randbytes(10_000)))
    assert keys(store) == []


def test_entries_that_were_unused_for_long_are_removed(store: BaselineStore, clock: Clock) -> None:
    for key in ("old", "used"):
        put(store, key)
    clock.now += 29 * DAY_S
    with store.reading("used") as stored:
        assert stored is not None
    clock.now += 2 * DAY_S
    put(store, "new")
    assert sorted(keys(store)) == ["new", "used"]


def test_an_entry_in_use_stays(store: BaselineStore, clock: Clock) -> None:
    content = tar_of(a=b"content")
    put(store, "key", content)
    with store.reading("key") as stored:
        assert stored is not None
        clock.now += 100 * DAY_S
        put(store, "other")
        assert store.remove(["key"]) == ["key"]
        assert volumes_of(stored) == [content]
    assert store.remove(["key"]) == []
    assert keys(store) == ["other"]


def test_memory_does_not_grow_with_the_volume(store: BaselineStore) -> None:
    def large() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    draft = store.draft("key")
    assert draft is not None
    tracemalloc.start()
    try:
        with draft:
            draft.add("db", "/data", large())
            assert finish(draft, "key")
            store.publish(draft, "key")
        with store.reading("key") as stored:
            assert stored is not None
            assert stored.manifest.stored_bytes < 1 << 20
            assert sum(len(chunk) for chunk in stored.chunks(stored.manifest.parts[0])) > 8 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_the_environment_says_where_baselines_are(tmp_path: Path) -> None:
    chosen = baselines_directory({"DOCKWRIGHT_CACHE_DIR": str(tmp_path)})
    assert chosen == tmp_path / "baselines"
    assert baselines_directory({}).parts[-2:] == ("dockwright", "baselines")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"created": ', '"created": "x", "": '),
        ('"created": ', '"created": NaN, "": '),
        ('"stored_bytes": ', '"stored_bytes": "many", "": '),
        ('"parts": ', '"parts": 5, "": '),
        ('"0.tar.zst"', '"../key/0.tar.zst"'),
        ('"0.tar.zst"', '"0.tar.zst\\u0000"'),
        ("{", "[" * 100_000),
        ("{", "\x00"),
    ],
)
def test_a_damaged_manifest_is_a_miss(
    store: BaselineStore, old: str, new: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, "key")
    file = store.directory / "key/manifest.json"
    file.write_text(file.read_text().replace(old, new, 1))
    with store.reading("key") as stored:
        assert stored is None
    assert "discarding the cached baseline key: not a baseline manifest: " in caplog.text
    assert store.entries() == []
    assert put(store, "key")


@pytest.mark.parametrize("name", ["manifest.json", "0.tar.zst"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_something_else_in_the_place_of_a_file_is_a_miss(
    store: BaselineStore, name: str, kind: str
) -> None:
    put(store, "key")
    file = store.directory / "key" / name
    file.unlink()
    if kind == "directory":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with store.reading("key") as stored:
        assert stored is None
    assert store.entries() == []
    assert put(store, "key")


def test_a_file_in_the_place_of_the_store_holds_nothing(store: BaselineStore) -> None:
    store.directory.parent.mkdir(parents=True)
    store.directory.write_text("")
    with store.reading("key") as stored:
        assert stored is None
    assert store.entries() == []
    assert store.remove(["key"]) == []
