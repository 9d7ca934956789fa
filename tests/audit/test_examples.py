"""From an audit of an example without its markers follow the markers that a person wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.audit import marker_in
from tests._support.project import LEAN

ROOT = Path(__file__).parents[2]
_MARKER = re.compile(
    r"^(@pytest\.mark\.|pytestmark = pytest\.mark\.)(stateless|stateful|module_cleanup)\n", re.M
)


@dataclass(frozen=True, slots=True)
class Example:
    """A copy of an example, without its markers.

    Attributes:
        original: where it is.
        path: where the copy is.
        environ: of what runs there.
    """

    original: Path
    path: Path
    environ: dict[str, str]

    def run(self, *command: str) -> str:
        """Run a command of our environment there, and return what it printed."""
        program, *arguments = command
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=self.path,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=True,
        )
        return done.stdout


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """The worker, whose tests are of both kinds."""
    original = ROOT / "examples" / "worker"
    path = shutil.copytree(original, tmp_path / "worker")
    for file in path.rglob("test_*.py"):
        file.write_text(_MARKER.sub("", file.read_text()))
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DOCKWRIGHT_")}
    environ = {
        **kept,
        "DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTEST_ADDOPTS": LEAN,
    }
    return Example(original, path, environ)


@pytest.mark.engine
def test_the_markers_that_a_person_wrote_are_proposed_and_written_once(example: Example) -> None:
    assert "6 passed" in example.run(
        "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "--dockwright-audit=strict"
    )
    tests = json.loads(example.run("dockwright", "markers", "--json"))["tests"]
    assert len(tests) == 6
    for each in tests:
        assert each["right"] == marker_in(example.original, each["nodeid"]), each
    diff = example.run("dockwright", "markers", "--write")
    assert diff.count("+@pytest.mark.stateless") == 2
    assert example.run("dockwright", "markers", "--write") == "nothing to change\n"
    example.run("dockwright", "markers", "--check")
