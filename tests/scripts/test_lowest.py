"""scripts/test-lowest can resolve: every dependency says which version is the oldest."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_an_oldest_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    lines = [line for group in groups for line in group]
    assert [line for line in lines if not re.match(r"[\w.-]+(\[\w+\])?>=\d", line)] == []


def test_the_script_explains_itself() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "test-lowest", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: scripts/test-lowest [--help] [PYTEST_ARGUMENT...]\n")
