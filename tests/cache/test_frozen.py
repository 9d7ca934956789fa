"""Copies whose volumes are layers above frozen volumes of a cached baseline, on a real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.cache.frozen import FROZEN_LABEL, STORE_LABEL
from dockwright.cache.store import FROZEN
from dockwright.engine import Engine
from dockwright.stack import Baseline, Stack
from tests._support.cache_entries import keys
from tests._support.tree import tree
from tests.cache.conftest import Start

pytestmark = pytest.mark.engine

# Initialises two volumes, one of them shared, and then only waits.
PAIR = """
name: pair
services:
  writer:
    image: python:3.11-slim
    command: [sh, -c, 'test -e /data/made || python3 /init/make; touch /tmp/ready; exec sleep 1000']
    volumes: ["data:/data", "shared:/srv/shared", "/var/anonymous", "./init:/init:ro"]
    healthcheck: {test: ["CMD", "test", "-e", "/tmp/ready"]}
    EXTRA
  reader:
    image: python:3.11-slim
    command: [sleep, '1000']
    init: true
    volumes: ["shared:/mnt:ro"]
    depends_on: {writer: {condition: service_healthy}}
volumes: {data: {labels: {purpose: testing}}, shared: {}}
"""
MAKE = r"""
import os
os.chdir("/data")
os.chown(".", 7, 8)
os.chmod(".", 0o2750)
os.makedirs("deep/er/est")
for number in range(3):
    name = f"deep/er/file{number}"
    open(name, "wb").write(os.urandom(10_000))
    os.chown(name, number, 6)
    os.chmod(name, 0o4711)
open("attributed", "w").write("text")
os.setxattr("attributed", "user.kind", b"an attribute")
os.setxattr("deep", "user.kind", b"of a directory")
os.link("attributed", "link")
os.symlink("/nowhere/at/all", "dangling")
os.mkfifo("fifo", 0o640)
open("sparse", "wb").truncate(5_000_000)
os.makedirs("replaced/inside")
open("replaced/inside/file", "w").write("old")
open("made", "w").write("made")
open("/srv/shared/text", "w").write("shared")
open("/var/anonymous/text", "w").write("anonymous")
"""
# Everything that a layer has to hide, copy or redirect.
SPOIL = r"""
import os, shutil
os.chdir("/data")
os.remove("deep/er/file0")
os.chmod("deep/er/file1", 0o600)
os.chown("deep/er/file2", 9, 9)
open("deep/er/file2", "ab").write(b"more")
os.rename("deep", "renamed")
os.setxattr("attributed", "user.kind", b"another")
os.setxattr("attributed", "user.new", b"new")
open("link", "a").write("written through a link")
os.remove("dangling"); os.mkdir("dangling")
shutil.rmtree("replaced"); os.mkdir("replaced"); open("replaced/new", "w").write("new")
os.truncate("sparse", 10)
os.remove("fifo")
os.remove("made")
os.chmod(".", 0o777); os.chown(".", 0, 0)
open("/srv/shared/text", "w").write("spoilt")
open("/var/anonymous/more", "w").write("more")
open("/opt/intruder", "w").write("intruder")
"""
DIRECTORIES = ("/data", "/srv/shared", "/var/anonymous", "/opt")


@pytest.fixture
def pair(engine: Engine, tmp_path: Path) -> Path:
    if not engine.has_image("python:3.11-slim"):
        pytest.skip("needs the image python:3.11-slim: scripts/ensure-images gets it")
    file = tmp_path / "compose.yaml"
    file.write_text(PAIR.replace("    EXTRA\n", ""))
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "make").write_text(MAKE)
    return file


@contextmanager
def captured(stack: Stack, scratch: Path) -> Iterator[Baseline]:
    baseline = Baseline(stack, scratch)
    baseline.capture()
    try:
        yield baseline
    finally:
        baseline.close()


def spoil(stack: Stack) -> None:
    result = stack.exec("writer", ["python3", "-c", SPOIL])
    assert result.exit_code == 0, result.stderr


def volumes(stack: Stack) -> dict[str, str]:
    """Return the mount options of all volumes that hold data, by name."""
    found = stack.engine.list_volumes(stack.identity.data_selector())
    return {each["Name"]: (each["Options"] or {}).get("o", "") for each in found}


def test_a_reset_brings_every_file_back(
    start: Start, pair: Path, tmp_path: Path, engine: Engine
) -> None:
    first, _ = start(pair)
    second, warm = start(pair)
    assert warm.from_cache
    assert len(volumes(second)) == 3
    assert all("lowerdir=" in options for options in volumes(second).values())
    made = tree(first, "writer", *DIRECTORIES)
    assert tree(second, "writer", *DIRECTORIES) == made
    with captured(second, tmp_path / "scratch") as baseline:
        for _ in range(2):
            spoil(second)
            container = second.container("writer")
            engine.sdk.api.update_container(container, mem_limit="512m", memswap_limit="512m")
            assert tree(second, "writer", *DIRECTORIES) != made
            baseline.reset()
            assert tree(second, "writer", *DIRECTORIES) == made
            assert second.exec("reader", ["cat", "/mnt/text"]).stdout == "shared"
            details = engine.inspect_container(second.container("writer"))
            assert details["HostConfig"]["Memory"] == 0
    assert tree(first, "writer", *DIRECTORIES) == made
    third, _ = start(pair)
    assert tree(third, "writer", *DIRECTORIES) == made


def test_the_copy_that_made_the_baseline_comes_back_to_it_as_well(
    start: Start, pair: Path, tmp_path: Path
) -> None:
    first, _ = start(pair)
    made = tree(first, "writer", *DIRECTORIES)
    with captured(first, tmp_path / "scratch") as baseline:
        spoil(first)
        baseline.reset()
    assert tree(first, "writer", *DIRECTORIES) == made
    assert all("lowerdir=" in options for options in volumes(first).values())


def test_names_and_labels_of_volumes_are_those_of_compose(start: Start, pair: Path) -> None:
    start(pair)
    stack, _ = start(pair)
    name = f"{stack.identity.project}_data"
    labels = stack.engine.inspect_volume(name)["Labels"]
    assert labels["com.docker.compose.volume"] == "data"
    assert labels["com.docker.compose.project"] == stack.identity.project
    assert labels["purpose"] == "testing"


def test_a_durable_service_has_no_layers(start: Start, pair: Path) -> None:
    text = PAIR.replace("EXTRA", "x-dockwright: {durable: true}")
    pair.write_text(text)
    start(pair)
    stack, second = start(pair)
    assert second.from_cache
    assert not any(volumes(stack).values())
    assert stack.exec("writer", ["cat", "/data/made"]).stdout == "made"


def test_frozen_volumes_go_with_their_entry_once_no_copy_uses_them(
    start: Start, pair: Path, engine: Engine, store: BaselineStore
) -> None:
    def frozen() -> list[str]:
        found = engine.list_volumes({FROZEN_LABEL: None, STORE_LABEL: str(store.directory)})
        return [each["Name"] for each in found]

    start(pair)
    stack, _ = start(pair)
    assert len(frozen()) == 3
    assert store.remove(keys(store)) == []
    FrozenVolumes(engine, store).sweep()
    assert len(frozen()) == 3  # the copy still uses them
    assert stack.exec("writer", ["cat", "/data/made"]).stdout == "made"
    stack.remove()
    FrozenVolumes(engine, store).sweep()
    assert frozen() == []


def test_a_baseline_whose_volumes_were_removed_is_frozen_again(
    start: Start, pair: Path, engine: Engine, store: BaselineStore
) -> None:
    start(pair)
    [stored] = store.entries()
    record = json.loads((stored.directory / FROZEN).read_bytes())
    for name in record[engine.endpoint.url]:
        engine.remove_volume(name)
    stack, again = start(pair)
    assert again.from_cache
    assert all("lowerdir=" in options for options in volumes(stack).values())
    assert json.loads((stored.directory / FROZEN).read_bytes()) != record


def test_leftovers_of_a_killed_process_are_removed(
    engine: Engine, store: BaselineStore, unique_name: str
) -> None:
    labels = {FROZEN_LABEL: "key", STORE_LABEL: str(store.directory)}
    found = FrozenVolumes(engine, store)
    engine.create_volume(unique_name, {"Labels": found.labels("key")})
    assert engine.list_volumes(labels)
    found.sweep()
    assert not engine.list_volumes(labels)


def test_volumes_are_filled_where_the_engine_cannot_have_layers(
    start: Start, pair: Path, store: BaselineStore, engine: Engine, tmp_path: Path
) -> None:
    store.directory.mkdir(parents=True)
    FrozenVolumes(engine, store).give_up("this test says so")
    start(pair)
    stack, second = start(pair)
    assert second.from_cache
    assert not any(volumes(stack).values())
    assert tree(stack, "writer", "/data")["/data/made"]["size"] == 4


def test_a_small_baseline_is_filled_and_comes_back(
    start: Start, pair: Path, tmp_path: Path, store: BaselineStore
) -> None:
    make = tmp_path / "init" / "make"
    make.write_text(MAKE.replace("truncate(5_000_000)", "truncate(5_000)"))
    start(pair)
    assert not (store.entries()[0].directory / FROZEN).exists()
    stack, second = start(pair)
    assert second.from_cache
    assert not any(volumes(stack).values())
    # What the service would do to an empty volume does not happen again.
    made = tree(stack, "writer", *DIRECTORIES)
    make.write_text("raise SystemExit('the volume is empty')")
    with captured(stack, tmp_path / "scratch") as baseline:
        spoil(stack)
        baseline.reset()
        assert tree(stack, "writer", *DIRECTORIES) == made


def test_a_failed_mount_does_not_condemn_the_baseline(
    start: Start, pair: Path, store: BaselineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(pair)
    before = keys(store)
    with monkeypatch.context() as patch:
        options = {"type": "overlay", "device": "overlay", "o": "lowerdir=/nowhere"}
        patch.setattr("dockwright.stack.layers.overlay_options", lambda *_: options)
        stack, second = start(pair)
    assert not second.from_cache
    assert stack.exec("writer", ["cat", "/data/made"]).stdout == "made"
    assert keys(store) == before
    third, _ = start(pair)
    assert not any(volumes(third).values())
