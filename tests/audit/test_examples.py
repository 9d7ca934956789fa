"""From an audit of suites without their markers follow the markers that a person wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dockwright.audit import marker_in
from tests._support.project import LEAN

ROOT = Path(__file__).parents[2]
_MARKER = re.compile(
    r"^ *(@pytest\.mark\.|pytestmark = pytest\.mark\.)(stateless|stateful|module_cleanup)\n", re.M
)
_ONE_MODULE = "test_workflow_integration.py::test_the_tests_of_a_module_share_one_stack"
"""Its parameters build on each other; by one of them alone that is not seen."""
_ONLY_STACKS = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "stack" in item.fixturenames]
"""


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A copy of a suite, without its markers.

    Attributes:
        original: where the suite is.
        path: where the copy is.
        environ: of what runs there.
        timeout_s: how long a command may take.
    """

    original: Path
    path: Path
    environ: dict[str, str]
    timeout_s: float = 100.0

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
            timeout=self.timeout_s,
            check=False,
        )
        assert done.returncode in (0, 1), done.stdout
        return done.stdout

    def markers(self) -> dict[str, str]:
        """Return the markers that are proposed, by node id."""
        tests = json.loads(self.run("dockwright", "markers", "--json"))["tests"]
        return {each["nodeid"]: each["right"] for each in tests}

    def written_by_a_person(self, nodeids: Iterable[str]) -> dict[str, str | None]:
        """Return the markers of these tests in the original."""
        return {each: marker_in(self.original, each) or "stateful" for each in nodeids}

    def check_written(self) -> None:
        """Write the markers, and check that there is nothing left to write."""
        self.run("dockwright", "markers", "--write")
        assert self.run("dockwright", "markers", "--write") == "nothing to change\n"
        self.run("dockwright", "markers", "--check")
        found = self.markers()
        assert {each: marker_in(self.path, each) or "stateful" for each in found} == found


AUDIT = ("pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "--dockwright-audit=report")


def unmarked(original: Path, path: Path, *, packages: Iterable[Path] = ()) -> Unmarked:
    """Copy a suite, and what it imports, without its markers."""
    for each in (original, *packages):
        target = path / each.relative_to(original.parent if not packages else ROOT)
        shutil.copytree(each, target, ignore=shutil.ignore_patterns("__pycache__"))
    suite = path / original.relative_to(original.parent if not packages else ROOT)
    for file in suite.rglob("test_*.py"):
        file.write_text(_MARKER.sub("", file.read_text()))
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DOCKWRIGHT_")}
    environ = {
        **kept,
        "DOCKWRIGHT_CACHE_DIR": str(path / "cache"),
        "XDG_STATE_HOME": str(path / "state"),
        "PYTEST_ADDOPTS": LEAN,
        "PYTHONPATH": str(path),
    }
    return Unmarked(original, suite, environ)


@pytest.mark.engine
def test_the_markers_of_the_worker_are_proposed_and_written_once(tmp_path: Path) -> None:
    suite = unmarked(ROOT / "examples" / "worker", tmp_path)
    assert "6 passed" in suite.run(*AUDIT)
    found = suite.markers()
    assert len(found) == 6
    assert found == suite.written_by_a_person(found)
    suite.check_written()


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(900)
def test_the_markers_of_the_shop_are_proposed_and_written_once(tmp_path: Path) -> None:
    suite = replace(unmarked(ROOT / "examples" / "shop", tmp_path), timeout_s=800)
    suite.run(*AUDIT)
    found = suite.markers()
    assert found == suite.written_by_a_person(found)
    suite.check_written()


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(900)
def test_the_markers_of_our_own_tests_are_proposed_and_written_once(tmp_path: Path) -> None:
    packages = (ROOT / "tests" / "_support", ROOT / "tests" / "cli")
    suite = unmarked(ROOT / "tests" / "integration", tmp_path, packages=packages)
    for name in ("__init__.py", "conftest.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    (tmp_path / "only_stacks.py").write_text(_ONLY_STACKS)
    suite = replace(suite, timeout_s=800)
    suite.run(*AUDIT, "-p", "only_stacks")
    found = suite.markers()
    assert len(found) > 10
    one_by_one = {name: right for name, right in found.items() if name != _ONE_MODULE}
    assert one_by_one == suite.written_by_a_person(one_by_one)
    suite.check_written()
