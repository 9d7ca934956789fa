"""Which directory is the project's root: the one that pytest takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockwright.cli._root import project_root

LAYOUTS = {
    "pytest.ini": "",
    ".pytest.ini": "[pytest]",
    "pyproject.toml": "[tool.pytest.ini_options]",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
    "setup.py": "",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_is_pytests_own(tmp_path: Path, name: str) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / name).write_text(LAYOUTS[name])
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    assert project_root(below) == tmp_path / "a"
    header = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
        ],
        cwd=below,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    assert f"rootdir: {tmp_path / 'a'}\n" in header


def test_files_that_cannot_be_read_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("not toml [")
    (tmp_path / "tox.ini").write_bytes(b"\xff\xfe")
    below = tmp_path / "below"
    below.mkdir()
    assert project_root(below) == tmp_path  # a pyproject.toml all the same
