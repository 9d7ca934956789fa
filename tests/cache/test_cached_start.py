"""Real copies that start from a cached baseline are like those that initialised themselves."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.cache import BaselineStore, Bounds
from dockwright.cache.store import FROZEN
from dockwright.errors import DockwrightError, EngineError, StackBrokenError
from dockwright.stack import Stack
from tests._support.cache_entries import keys
from tests.cache.conftest import Image, Start

if TYPE_CHECKING:
    from dockwright.engine import Engine

pytestmark = pytest.mark.engine

# Initialises its volume once, slowly enough to be worth keeping, and tells whether it did.
BOX = """
name: box
services:
  box:
    image: IMAGE
    command:
      - sh
      - -c
      - |
        test -e /data/made || sh /init/make
        touch /tmp/ready
        exec sleep 1000
    volumes: ["data:/data", "./init:/init:ro"]
    healthcheck: {test: ["CMD", "test", "-e", "/tmp/ready"]}
volumes: {data: {}}
"""
MAKE = r"""
sleep 1
cd /data
chown 7:8 .
chmod 2750 .
mkdir -p deep/er; echo text > deep/er/file; chown 5:6 deep/er/file; chmod 4711 deep/er/file
ln deep/er/file hard; ln -s deep/er/file soft; ln -s /nowhere/at/all dangling
touch 'a name with spaces' '--dash'; touch -d '2001-02-03 04:05:06' old
dd if=/dev/zero of=sparse bs=1 count=0 seek=5000000 2> /dev/null
echo initialised; touch made
"""
LOOK = (
    'cd /data; find() { for f in "$1"/* "$1"/.[!.]*; do test -e "$f" -o -L "$f" || continue;'
    ' stat -c \'%A %u %g %h %s %Y %N\' "$f"; test -f "$f" -a ! -L "$f" && sha256sum "$f";'
    ' test -d "$f" -a ! -L "$f" && find "$f"; done; }; stat -c \'%A %u %g\' .; find .'
)


@pytest.fixture
def box(scratch: str, tmp_path: Path) -> Path:
    file = tmp_path / "compose.yaml"
    file.write_text(BOX.replace("IMAGE", scratch))
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "make").write_text(MAKE)
    return file


def initialised(stack: Stack, service: str = "box", words: str = "initialised") -> bool:
    return any(words in line for line in stack.last_lines(service, 1000))


def look(stack: Stack) -> str:
    result = stack.exec("box", ["sh", "-c", LOOK])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_second_copy_starts_from_what_the_first_made(start: Start, box: Path) -> None:
    first, cold = start(box)
    second, warm = start(box)
    assert (cold.from_cache, warm.from_cache) == (False, True)
    assert (initialised(first), initialised(second)) == (True, False)
    assert "-rws--x--x 5 6 2" in look(first)
    assert look(second) == look(first)


def test_everybody_works_on_after_the_volumes_were_read(
    start: Start, box: Path, engine: Engine
) -> None:
    stack, _ = start(box)
    state = engine.inspect_container(stack.container("box"))["State"]
    assert (state["Running"], state["Paused"]) == (True, False)


def test_without_a_store_nothing_is_kept(start: Start, box: Path, store: BaselineStore) -> None:
    start(box, None)
    assert not store.directory.exists()


@pytest.mark.parametrize("change", ["the init file", "the compose file"])
def test_a_changed_input_is_not_started_from_the_baseline(
    start: Start, box: Path, change: str
) -> None:
    start(box)
    if change == "the init file":
        (box.parent / "init" / "make").write_text(MAKE + "touch more\n")
    else:
        box.write_text(box.read_text().replace("sleep 1000", "sleep 1001"))
    stack, again = start(box)
    assert not again.from_cache
    assert initialised(stack)


def test_a_changed_image_is_not_started_from_the_baseline(
    start: Start, box: Path, image: Image, scratch: str
) -> None:
    box.write_text(box.read_text().replace(scratch, image.tag))
    for number in range(2):
        image.make({f"other/{number}": b""})
        _, first = start(box)
        assert not first.from_cache
    _, again = start(box)
    assert again.from_cache


def test_a_corrupt_entry_is_made_again(
    start: Start, box: Path, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    start(box)
    [stored] = store.entries()
    (stored.directory / FROZEN).unlink()  # else its volumes on the engine are used
    file = stored.directory / stored.manifest.parts[0].file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    stack, second = start(box)
    assert not second.from_cache
    assert initialised(stack)
    assert "checksum mismatch in 0.tar.zst (/data)" in caplog.text
    _, third = start(box)
    assert third.from_cache


def test_a_baseline_from_which_stacks_cannot_start_is_dropped(
    start: Start, box: Path, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    # The content is sound for the store, but not for the service.
    box.write_text(box.read_text().replace("touch /tmp", "test -e /data/ran && exit 9; touch /tmp"))
    box.write_text(box.read_text().replace("exec sleep", "touch /data/ran; exec sleep"))
    start(box)
    assert len(keys(store)) == 1
    stack, second = start(box)
    assert not second.from_cache
    assert initialised(stack)
    assert keys(store) == []
    assert "a stack did not start from it" in caplog.text
    assert "exited with code 9" in caplog.text


def test_a_stack_that_does_not_start_anyhow_keeps_its_baseline(
    start: Start, box: Path, store: BaselineStore
) -> None:
    box.write_text(box.read_text() + "x-dockwright: {processes: {app: {command: [PROGRAM]}}}\n")
    box.write_text(box.read_text().replace("{processes", "{cache: true, processes"))
    program = box.parent / "program"
    box.write_text(box.read_text().replace("PROGRAM", str(program)))
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    start(box)
    before = keys(store)
    program.unlink()
    with pytest.raises(DockwrightError, match="app"):
        start(box)
    assert keys(store) == before


def test_concurrent_first_starts_keep_one(start: Start, box: Path, store: BaselineStore) -> None:
    results: list[bool] = []

    def run() -> None:
        results.append(start(box)[1].from_cache)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(keys(store)) == 1
    assert start(box)[1].from_cache


def test_a_pool_that_ends_keeps_no_half_entry(
    start: Start, box: Path, store: BaselineStore
) -> None:
    start(box, wanted=False)
    assert list(store.directory.iterdir()) == []


def test_a_store_that_cannot_be_written_does_no_harm(
    start: Start, box: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    stack, _ = start(box, BaselineStore(tmp_path / "file" / "baselines"))
    assert initialised(stack)
    assert "the baseline of stack box is not kept" in caplog.text


def test_the_hosts_own_files_are_never_written(
    start: Start, box: Path, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    box.write_text(box.read_text().replace("./init:/init:ro", "./init:/data/init"))
    box.write_text(box.read_text().replace("sh /init/make", "sh /data/init/make"))
    start(box)
    assert "/data/init is mounted inside /data of service box" in caplog.text
    assert keys(store) == []


def test_a_read_only_service_is_not_kept(
    start: Start, box: Path, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    box.write_text(
        box.read_text().replace("image:", "read_only: true\n    tmpfs: [/tmp]\n    image:")
    )
    start(box)
    assert "service box is read_only" in caplog.text
    assert keys(store) == []


def test_a_file_of_the_image_that_was_deleted_does_not_come_back(
    start: Start,
    box: Path,
    image: Image,
    scratch: str,
    store: BaselineStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    box.write_text(box.read_text().replace(scratch, image.tag))
    image.make({"data/kept": b"", "data/default": b""})
    start(box)
    assert start(box)[1].from_cache
    (box.parent / "init" / "make").write_text(MAKE + "rm default\n")
    start(box)
    assert "data/default was deleted from /data of service box" in caplog.text
    assert len(keys(store)) == 1


def test_reading_ends_at_once_when_it_takes_too_long(
    start: Start,
    box: Path,
    store: BaselineStore,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("dockwright.stack.cached_start._WORTH", 0.0)
    stack, _ = start(box)
    assert "reading its volumes takes too long to be worth it" in caplog.text
    assert not engine.inspect_container(stack.container("box"))["State"]["Paused"]
    assert list(store.directory.iterdir()) == []


def test_a_copy_that_stays_paused_is_not_handed_out(
    start: Start, box: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpause = engine.unpause_container

    def fail(container: str) -> None:
        unpause(container)
        raise EngineError("cannot unpause")

    monkeypatch.setattr(engine, "unpause_container", fail)
    with pytest.raises(StackBrokenError, match="stays paused"):
        start(box)


def test_a_volume_that_the_image_fills_with_much_is_not_kept(
    start: Start,
    box: Path,
    image: Image,
    scratch: str,
    store: BaselineStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    box.write_text(box.read_text().replace(scratch, image.tag))
    image.make({"data/much": bytes(20 << 20)})
    stack, _ = start(box)
    assert initialised(stack)
    assert "the image itself fills /data of service box" in caplog.text
    assert not store.directory.exists()


def test_an_entry_that_is_being_used_survives_the_bounds(
    start: Start, box: Path, store: BaselineStore
) -> None:
    start(box)
    small = BaselineStore(store.directory, bounds=Bounds(size_bytes=1))
    [key] = keys(store)
    with store.reading(key):
        assert small.remove([key]) == [key]
    assert start(box, small)[1].from_cache


POSTGRES = """
name: pg
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: secret, POSTGRES_DB: shop}
    volumes: ["data:/var/lib/postgresql/data", "./initdb.d:/docker-entrypoint-initdb.d:ro"]
    healthcheck: {test: ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "postgres"]}
volumes: {data: {}}
"""
SCHEMA = """
CREATE ROLE clerk LOGIN PASSWORD 'x';
CREATE TABLE item (id serial PRIMARY KEY, body text);
INSERT INTO item (body) SELECT md5(n::text) FROM generate_series(1, 5000) n;
SELECT lo_from_bytea(0, 'a large object');
ALTER DATABASE shop SET work_mem = '5MB';
"""


def dump(stack: Stack) -> str:
    result = stack.exec("db", ["pg_dumpall", "-U", "postgres"])
    assert result.exit_code == 0, result.stderr
    kept = [
        line
        for line in result.stdout.splitlines()
        if not line.startswith(("\\restrict", "\\unrestrict"))
        # Hashes of passwords are salted at initdb.
        and "PASSWORD 'SCRAM" not in line
    ]
    return "\n".join(kept)


@pytest.fixture
def postgres(engine: Engine, tmp_path: Path) -> Path:
    """A Compose file with a PostgreSQL that runs ``1.sql`` when it initialises itself."""
    _need(engine, "postgres:15")
    file = tmp_path / "compose.yaml"
    file.write_text(POSTGRES)
    (tmp_path / "initdb.d").mkdir()
    (tmp_path / "initdb.d" / "1.sql").write_text(SCHEMA)
    return file


def _need(engine: Engine, image: str) -> None:
    if not engine.has_image(image):
        pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")


def test_a_poured_postgres_is_like_a_fresh_one(start: Start, postgres: Path) -> None:
    fresh, _ = start(postgres)
    poured, second = start(postgres)
    assert second.from_cache
    skipped = "Skipping initialization"
    assert not initialised(fresh, "db", skipped)
    assert initialised(poured, "db", skipped)
    original = dump(fresh)
    assert "CREATE ROLE clerk" in original
    assert dump(poured) == original


def test_unlogged_tables_which_a_crash_empties_are_not_kept(
    start: Start, postgres: Path, store: BaselineStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    unlogged = "CREATE UNLOGGED TABLE u AS SELECT 1 AS one;"
    (postgres.parent / "initdb.d" / "2.sql").write_text(unlogged)
    start(postgres)
    assert "PostgreSQL would empty its unlogged tables" in caplog.text
    assert keys(store) == []


REDIS = """
name: re
services:
  cache:
    image: redis:7
    command:
      - sh
      - -c
      - |
        redis-server --save '' --protected-mode no & until redis-cli ping; do :; done
        test -e /data/made || redis-cli set key value
        touch /data/made; wait
    volumes: ["data:/data"]
    healthcheck: {test: ["CMD", "test", "-e", "/data/made"]}
volumes: {data: {}}
"""


def test_data_that_redis_holds_only_in_memory_is_kept(
    start: Start, engine: Engine, tmp_path: Path
) -> None:
    _need(engine, "redis:7")
    file = tmp_path / "compose.yaml"
    file.write_text(REDIS)
    start(file)
    poured, second = start(file)
    assert second.from_cache
    assert poured.exec("cache", ["redis-cli", "get", "key"]).stdout == "value\n"
