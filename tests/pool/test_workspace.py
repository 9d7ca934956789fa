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
from dockwright.pool.journal import RetainedStacks, Workspace

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


def test_where_no_workspace_can_be_is_told(tmp_path: Path) -> None:
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
