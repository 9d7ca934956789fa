"""Stacks start while pytest collects, and are removed while the prompt is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.pytest_plugin.ahead import LastNeeds
from tests._support.suite import Suite

WAITS_FOR_ITS_STACK = """
    import subprocess, time
    from dockwright.engine import connect
    from dockwright.paths import project_hash
    from pathlib import Path

    deadline = time.monotonic() + 60
    labels = {"dev.dockwright.project": project_hash(Path.cwd())}
    while not connect().list_containers(labels):
        assert time.monotonic() < deadline, "nothing was started while this was collected"
        time.sleep(0.05)

    def test_it(stack): pass
"""


def needs(tmp_path: Path, key: str = "a") -> LastNeeds:
    return LastNeeds(tmp_path / "needs" / "project.json", key)


def test_each_kind_of_run_has_its_own_needs(tmp_path: Path) -> None:
    needs(tmp_path, "a").write(["shop", "default"])
    needs(tmp_path, "b").write(["mail"])
    assert needs(tmp_path, "a").read() == ["default", "shop"]
    assert needs(tmp_path, "b").read() == ["mail"]
    needs(tmp_path, "a").write([])
    assert needs(tmp_path, "a").read() == []


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    for number in range(60):
        needs(tmp_path, str(number)).write(["default"])
    assert needs(tmp_path, "9").read() == []
    assert needs(tmp_path, "10").read() == ["default"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": {}}'])
def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    found = needs(tmp_path)
    found.file.parent.mkdir()
    found.file.write_text(text)
    assert found.read() == []
    found.write(["default"])
    assert found.read() == ["default"]


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "needs").write_text("a file")
    needs(tmp_path).write(["default"])
    assert needs(tmp_path).read() == []


@pytest.mark.engine
def test_what_the_last_run_needed_starts_while_tests_are_collected(suite: Suite) -> None:
    suite.write("test_it.py", "def test_it(stack): pass")
    suite.passes(passed=1)
    suite.write("test_it.py", WAITS_FOR_ITS_STACK)
    suite.passes(passed=1)


@pytest.mark.engine
def test_a_seed_that_is_found_late_replaces_what_was_started_ahead(suite: Suite) -> None:
    (suite.path / "deep").mkdir()
    suite.write("deep/test_it.py", "def test_it(stack): pass")
    suite.passes(passed=1)
    suite.write(
        "deep/conftest.py",
        """
        def dockwright_seed(stack, name):
            stack.exec("web", ["sh", "-c", "echo seeded >/tmp/seed"])
        """,
    )
    suite.write(
        "deep/test_it.py",
        """
        def test_it(stack):
            assert stack.exec("web", ["cat", "/tmp/seed"]).stdout == "seeded\\n"
        """,
    )
    suite.passes(passed=1)
