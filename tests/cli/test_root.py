"""Which directory is the project's root: the one that pytest takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockwright.cli.pytest_settings import project_root

LAYOUTS = {
    "pytest.ini": "",
    ".pytest.ini": "[pytest]",
    "pyproject.toml": "[tool.pytest.ini_options]",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}


def rootdir(directory: Path) -> str:
    """Return what pytest's header says."""
    command = "-m", "pytest", "--collect-only", "-p", "no:randomly", "-p", "no:cacheprovider"
    header = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    (line,) = (line for line in header.splitlines() if line.startswith("rootdir: "))
    return line.removeprefix("rootdir: ").partition(",")[0]


@pytest.mark.soak(sample=2)
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_root_is_where_a_configuration_file_is(tmp_path: Path, name: str) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / name).write_text(LAYOUTS[name])
    (tmp_path / "pyproject.toml").touch()
    assert project_root(below) == tmp_path / "a" == Path(rootdir(below))


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py"])
def test_without_a_configuration_a_python_project_is_the_root(tmp_path: Path, name: str) -> None:
    below = tmp_path / "a"
    below.mkdir()
    (tmp_path / name).touch()
    assert project_root(below) == tmp_path == Path(rootdir(below))


def test_unreadable_files_do_not_decide_the_root(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("not toml [")
    (tmp_path / "tox.ini").write_bytes(b"\xff\xfe")
    below = tmp_path / "below"
    below.mkdir()
    assert project_root(below) == tmp_path  # a pyproject.toml all the same
