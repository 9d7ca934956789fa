"""Which images worlds start with, and how prepared images are kept and shared."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import UsageError
from dockwright.isolate import images as images_module
from dockwright.isolate.images import Image, PreparedImages, all_images, named, remove
from dockwright.isolate.inside import view
from dockwright.isolate.planning import daemon_settings, find_dockerd
from dockwright.isolate.usage import used_images
from tests._support.isolate.runs import Worlds

REDIS = Image("sha256:" + "a" * 64, ("redis:7",), 100)
POSTGRES = Image("sha256:" + "b" * 64, ("postgres:15", "registry.local/db:1"), 200)
BUSYBOX = Image("sha256:" + "c" * 64, ("busybox:latest",), 1)
NAMELESS = Image("sha256:" + "d" * 64, (), 10)
ALL = (REDIS, POSTGRES, BUSYBOX, NAMELESS)


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("compose.yaml", "services: {db: {image: 'redis:7'}}", [REDIS]),
        ("Dockerfile", "FROM registry.local/db:1 AS base", [POSTGRES]),
        ("test_a.py", "docker('run', 'busybox', 'true')", [BUSYBOX]),
        ("test_a.py", "docker('run', 'busybox:latest', 'true')", [BUSYBOX]),
        ("compose.yaml", "image: postgres:${VERSION:-15}", [POSTGRES]),
        (
            "run.sh",
            "docker run redis:7-alpine; docker run my/redis:7; apt install busybox-static",
            [],
        ),
        ("run.sh", "docker run redis:7.2", []),
        ("run.sh", "docker run busybox:1", []),
        ("data.bin", "redis:7\0", []),
        ("README.md", "nothing", []),
    ],
)
def test_images_named_in_the_files_of_a_project_are_found(
    tmp_path: Path, file: str, text: str, found: list[Image]
) -> None:
    (tmp_path / file).write_text(text)
    assert used_images(tmp_path, ALL) == found


def test_files_that_git_ignores_are_not_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("build\n")
    (tmp_path / "build").write_text("redis:7")
    (tmp_path / "new.sh").write_text("docker run busybox")
    assert used_images(tmp_path, ALL) == [BUSYBOX]


def test_images_are_named_by_name_tag_or_id() -> None:
    assert named(ALL, ["redis:7", "busybox", "d" * 12, NAMELESS.id]) == [
        REDIS,
        BUSYBOX,
        NAMELESS,
        NAMELESS,
    ]
    with pytest.raises(UsageError, match="--image redis: the engine has no such image"):
        named(ALL, ["redis"])


def _layer(root: Path, name: str, lower: str = "") -> None:
    directory = root / "overlay2" / name
    (directory / "diff" / "usr").mkdir(parents=True)
    (directory / "diff" / "usr" / "big").write_bytes(b"x" * 1_000_000)
    (directory / "link").write_text(name.upper())
    if lower:
        (directory / "lower").write_text(lower)


def test_a_data_root_is_linked_without_copying_layers(tmp_path: Path) -> None:
    prepared, own = tmp_path / "prepared", tmp_path / "own"
    _layer(prepared, "one")
    _layer(prepared, "two", "l/ONE")
    (prepared / "image").mkdir()
    (prepared / "image" / "repositories.json").write_text("{}")
    view.link_images(prepared, own)
    assert (own / "image" / "repositories.json").read_text() == "{}"
    assert (own / "overlay2" / "two" / "lower").read_text() == "l/ONE"
    assert (own / "overlay2" / "two" / "diff").readlink().match("*/overlay2/two/diff")
    assert str((own / "overlay2" / "l" / "TWO").readlink()) == "../two/diff"
    sizes = (each.lstat().st_size for each in own.rglob("*") if not each.is_symlink())
    assert sum(sizes) < 100_000


def _set(store: Path, name: str, image: Image, used: float) -> Path:
    directory = store / name
    directory.mkdir(parents=True)
    manifest = {"format": 1, "dockerd": "/d", "images": [dataclasses.asdict(image)]}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    os.utime(directory / "manifest.json", (used, used))
    return directory


def test_least_recently_used_sets_are_removed_beyond_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that a run uses stays; drafts of killed processes and broken manifests do no harm."""
    monkeypatch.setattr(images_module, "_BOUND_BYTES", 500)
    old, used = _set(tmp_path, "old", POSTGRES, 1), _set(tmp_path, "used", POSTGRES, 2)
    new = _set(tmp_path, "new", REDIS, 3)
    (tmp_path / ".dead.part").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("[")
    held = images_module._held(used)
    assert held is not None
    os.utime(used / "manifest.json", (2, 2))
    PreparedImages(tmp_path)._make_room(300)
    assert [each.exists() for each in (old, used, new)] == [False, True, False]
    assert not (tmp_path / ".dead.part").exists()
    assert not remove(used)
    os.close(held)
    assert remove(used)


@pytest.mark.engine
def test_prepared_images_are_complete_and_shared(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    """A world removes an image, the next one still has it; a larger set shares its layers."""
    known = all_images(engine)
    small, second = named(known, [scratch]), named(known, ["busybox:1"])
    store = PreparedImages(worlds.cache / "world-images")
    told: list[str] = []
    plan = worlds.plan()
    place, lock = store.get(engine, small, plan, told.append)
    again, other_lock = store.get(engine, small, plan, told.append)
    assert (place, len(told)) == (again, 1)
    with_images = dataclasses.replace(plan, images=str(place))
    assert worlds.inside(with_images, "docker", "run", "--rm", scratch, "true") == (0, "")
    code, _ = worlds.inside(with_images, "docker", "rmi", scratch)
    assert code == 0
    assert worlds.inside(with_images, "docker", "run", "--rm", scratch, "true") == (0, "")
    larger, larger_lock = store.get(engine, [*small, *second], plan, told.append)
    for descriptor in (lock, other_lock, larger_lock):
        os.close(descriptor)
    assert scratch not in told[1]
    shared = {each.stat().st_ino for each in place.rglob("diff/**/*") if each.is_file()}
    assert shared <= {each.stat().st_ino for each in larger.rglob("diff/**/*") if each.is_file()}
    code, text = worlds.inside(
        dataclasses.replace(plan, images=str(larger)), "docker", "images", "-q", "--no-trunc"
    )
    assert sorted(text.split()) == sorted(each.id for each in (*small, *second))


@pytest.mark.engine
@pytest.mark.soak
def test_a_world_takes_little_space(worlds: Worlds, engine: Engine) -> None:
    """With large images; the size of what an engine writes at its start."""
    chosen = named(all_images(engine), ["postgres:15"])
    place, lock = PreparedImages(worlds.cache / "world-images").get(
        engine, chosen, worlds.plan(), lambda _: None
    )
    os.close(lock)
    plan = worlds.plan(images=str(place), shown=(str(worlds.cache),))
    script = "docker ps -q; du -sm --exclude=merged $DOCKWRIGHT_WORLD | cut -f1"
    code, text = worlds.inside(plan, "sh", "-c", script)
    assert code == 0, text
    assert int(text) <= 20


def test_dockerd_is_found_by_name_and_path(tmp_path: Path) -> None:
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_dockerd(str(program)) == str(program.resolve())
    with pytest.raises(UsageError, match="no such program"):
        find_dockerd("no-such-dockerd")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, {}),
        ("[1]", {}),
        ("{", {}),
        ('{"hosts": ["tcp://0.0.0.0"], "data-root": "/data", "log-driver": "journald"}', {}),
        ('{"bip": "10.9.0.1/24", "hosts": []}', {"bip": "10.9.0.1/24"}),
    ],
)
def test_settings_that_a_suite_may_notice_are_kept(
    tmp_path: Path, text: str | None, kept: dict[str, object]
) -> None:
    file = tmp_path / "daemon.json"
    if text is not None:
        file.write_text(text)
    features = {"features": {"containerd-snapshotter": False}}
    assert json.loads(daemon_settings(file)) == {**kept, **features}


def test_features_of_the_daemon_are_kept_except_for_its_store(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"features": {"buildkit": true, "containerd-snapshotter": true}}')
    assert json.loads(daemon_settings(file)) == {
        "features": {"buildkit": True, "containerd-snapshotter": False}
    }
