"""Files on this host that a stack has mounted: what changed while a test ran, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dockwright.audit import BoundFiles
from dockwright.audit.outside import EngineObjects
from dockwright.audit.process import EngineRequest
from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX
from tests._support.owned import Owned

COMPOSE = """
services:
  web:
    image: busybox:1
    volumes: ["./shared:/shared", "./seed:/seed:ro", "./one.conf:/etc/one.conf", "data:/data"]
volumes:
  data: {}
"""


@pytest.fixture
def bound(tmp_path: Path) -> BoundFiles:
    """The files of a stack that may write to a directory and to a file."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    for name in ("shared/old", "shared/.git/HEAD", "seed/rows", "one.conf"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return BoundFiles(load(LoadOptions(files=(tmp_path / "compose.yaml",))))


def test_added_changed_and_deleted_files_are_named(bound: BoundFiles, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    bound.before()
    assert bound.after() == []
    (shared / "sub").mkdir()
    (shared / "sub" / "new").touch()
    (shared / "old").unlink()
    (tmp_path / "one.conf").write_text("x")
    (tmp_path / "seed" / "rows").write_text("mounted read-only")
    (shared / ".git" / "HEAD").write_text("of a tool")
    assert list(map(str, bound.after())) == [
        f"bind mount file {tmp_path}/one.conf (changed)",
        f"bind mount file {shared}/old (deleted)",
        f"bind mount file {shared}/sub/new (added)",
    ]
    assert bound.after() == []


def test_files_that_change_between_tests_are_not_reported(
    bound: BoundFiles, tmp_path: Path
) -> None:
    log = tmp_path / "shared" / "log"
    bound.before()
    log.write_text("one")
    assert len(bound.after()) == 1  # nobody knows yet
    log.write_text("one two")
    bound.before()
    log.write_text("one two three")
    assert bound.after() == []


def test_only_some_of_many_files_are_named(bound: BoundFiles, tmp_path: Path) -> None:
    bound.before()
    for number in range(30):
        (tmp_path / "shared" / f"{number:02}").touch()
    *named, last = bound.after()
    assert (len(named), str(last)) == (10, "bind mount files (20 more)")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("label", "reported"), [("built", True), ("equivalent", True), ("session", False)]
)
def test_a_container_is_ours_by_its_owner_not_by_its_image(
    owned: Owned, scratch: str, label: str, reported: bool
) -> None:
    objects, began_s = EngineObjects(owned.engine), time.time()
    labels = {**owned.labels, f"{PREFIX}{label}": "1"}
    identifier = owned.create(scratch, "true", Labels=labels)
    name = owned.engine.inspect_container(identifier)["Name"].lstrip("/")
    left = objects.left([EngineRequest("container", name)], began_s)
    assert [each.name for each in left] == ([name] if reported else [])
