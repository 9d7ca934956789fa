"""The directories that owners keep on disk, and the stacks that were kept on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dockwright.engine import current_owner
from dockwright.errors import ResourceError
from dockwright.model import Ownership
from dockwright.pool.journal import ResourceJournal, RetainedStacks, Workspace

_DIE_WITH_A_WORKSPACE = """
import os, pathlib, sys
from dockwright.pool.journal import Workspace
Workspace.create(pathlib.Path(sys.argv[1]), "dead")
os._exit(0)
"""


def test_a_workspace_is_private_and_names_its_owner(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path, "abc")
    assert workspace.directory.stat().st_mode & 0o777 == 0o700
    owner = json.loads((workspace.directory / "owner.json").read_text())
    assert owner == asdict(current_owner())
    workspace.remove()
    assert not workspace.directory.exists()


def test_a_workspace_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file, so that no directory can be made below")
    with pytest.raises(
        ResourceError, match=r"cannot write to .*/sessions/abc: Not a directory"
    ) as it:
        Workspace.create(tmp_path, "abc")
    assert it.value.hint == (
        "make room there, or set XDG_STATE_HOME to a directory that can be written"
    )


def test_only_the_workspaces_of_dead_owners_are_reaped(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _DIE_WITH_A_WORKSPACE, str(tmp_path)], check=True)
    mine = Workspace.create(tmp_path, "mine")
    broken = tmp_path / "sessions" / "broken"
    broken.mkdir()
    (broken / "owner.json").write_text("{half")
    assert (tmp_path / "sessions" / "dead").exists()
    assert Workspace.reap(tmp_path) == 1
    assert not (tmp_path / "sessions" / "dead").exists()
    assert mine.directory.exists()
    assert broken.exists()


def test_kept_stacks_are_remembered_until_forgotten(tmp_path: Path) -> None:
    kept = RetainedStacks(tmp_path / "kept")
    assert kept.names() == frozenset()
    kept.add("dw-shop-1")
    kept.add("dw-shop-2")
    kept.forget("dw-shop-1")
    kept.forget("dw-never")
    assert kept.names() == {"dw-shop-2"}


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"owner": 5}', b"[" * 100_000, b'{"boot_id": 1, "pid": "x"}']
)
def test_damaged_files_of_others_are_ignored(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "sessions/other"
    directory.mkdir(parents=True)
    (directory / "owner.json").write_bytes(content)
    (directory / "journal.jsonl").write_bytes(content)
    (tmp_path / "sessions/third/owner.json").mkdir(parents=True)
    (tmp_path / "sessions/third/journal.jsonl").mkdir()
    assert Workspace.reap(tmp_path) == 0
    assert list(ResourceJournal.all(tmp_path)) == []
    assert directory.exists()


def test_a_damaged_line_of_a_journal_is_left_out(tmp_path: Path) -> None:
    journal = ResourceJournal.create(
        tmp_path, Ownership("s", "p", "stack", current_owner(), 1.0, "0")
    )
    with (tmp_path / "sessions/s/journal.jsonl").open("ab") as file:
        file.write(b'\xff\n[]\n{"kind": "odd", "name": "x"}\n{"kind": "file", "name": "/x"}\n{"ki')
    assert [resource.name for resource in journal.resources()] == ["/x"]


def test_a_file_instead_of_the_directory_of_kept_stacks_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    assert RetainedStacks(tmp_path / "kept").names() == frozenset()
