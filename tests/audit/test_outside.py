"""Files on this host that a stack has mounted: what changed while a test ran, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.audit import BoundFiles
from dockwright.compose import LoadOptions, load

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
