"""Stacks start while pytest collects, and are removed while the prompt is back."""

from __future__ import annotations

import json

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


def needs(pytester: pytest.Pytester, *arguments: str) -> LastNeeds:
    """Return the memory of a run with these arguments."""
    return LastNeeds(pytester.parseconfigure(*arguments))


def test_each_kind_of_run_has_its_own_needs(pytester: pytest.Pytester) -> None:
    needs(pytester, "-k", "a").write(["shop", "default"])
    needs(pytester, "-k", "b").write(["mail"])
    assert needs(pytester, "-k", "a").read() == ["default", "shop"]
    assert needs(pytester, "-k", "b").read() == ["mail"]
    needs(pytester, "-k", "a").write([])
    assert needs(pytester, "-k", "a").read() == []


def test_old_runs_are_forgotten(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure()
    for number in range(60):
        config.option.keyword = str(number)
        LastNeeds(config).write(["default"])
    assert needs(pytester, "-k", "9").read() == []
    assert needs(pytester, "-k", "10").read() == ["default"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"KEY": 3}', '{"KEY": {}}'])
def test_a_damaged_memory_is_an_empty_one(pytester: pytest.Pytester, text: str) -> None:
    needs(pytester).write(["default"])
    [memory] = pytester.path.glob(".pytest_cache/v/dockwright/needs")
    [key] = json.loads(memory.read_text())
    memory.write_text(text.replace("KEY", key))
    assert needs(pytester).read() == []
    needs(pytester).write(["default"])
    assert needs(pytester).read() == ["default"]


def test_without_pytests_cache_nothing_is_remembered(pytester: pytest.Pytester) -> None:
    needs(pytester, "-p", "no:cacheprovider").write(["default"])
    assert needs(pytester, "-p", "no:cacheprovider").read() == []
    assert not (pytester.path / ".pytest_cache").exists()


@pytest.mark.engine
def test_stacks_of_the_last_run_start_while_tests_are_collected(suite: Suite) -> None:
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
