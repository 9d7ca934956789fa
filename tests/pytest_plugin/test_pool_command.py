"""``dockwright pool`` talks to the broker that pytest uses in the same project."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests._support.suite import TIMEOUT_S, Suite

pytestmark = pytest.mark.engine


def pool(suite: Suite, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [Path(sys.executable).with_name("dockwright"), "pool", *arguments],
        cwd=suite.path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stderr
    assert "Traceback" not in done.stderr
    return done


def ls(suite: Suite) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(pool(suite, "ls", "--json").stdout)
    return found


@pytest.fixture
def drained(suite: Suite) -> Iterator[Suite]:
    """A suite whose pool is ended after the test."""
    yield suite
    pool(suite, "drain")


def test_a_warm_pool_serves_a_run_and_is_drained(drained: Suite) -> None:
    drained.compose("deploy/mail.yaml")
    drained.write(
        "pyproject.toml",
        '[tool.pytest.ini_options]\ndockwright_stacks = ["mail=deploy/mail.yaml"]\n',
    )
    drained.write("sub/test_it.py", "def test_it(stack): assert stack.services == ('web',)\n")
    assert ls(drained) == []
    assert "no pool: " in pool(drained, "stats").stderr
    assert "no pool: " in pool(drained, "drain").stderr

    told = pool(drained, "warm", "--for", "5m", "--root", "sub").stderr
    assert told == "2 stacks ready, kept for 5m: default, mail\n"
    stacks = ls(drained)
    assert {each["stack"]: each["state"] for each in stacks} == {
        "default": "clean",
        "mail": "clean",
    }
    assert all(each["holders"] == [] and each["age_s"] > 0 for each in stacks)
    table = pool(drained, "ls").stdout.splitlines()
    assert table[0].split() == ["STACK", "PROJECT", "STATE", "FOR", "AGE", "USED", "BY"]
    assert [line.split() for line in table[3:]] == [
        ["STACK", "SERVICE", "RECOGNISED", "RESET"],
        ["default", "web", "-", "new", "container"],
        ["mail", "web", "-", "new", "container"],
    ]

    result = drained.run("sub")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["0 stacks started, 1 lease, *"])
    counts = json.loads(pool(drained, "stats", "--json").stdout)
    assert counts["leases"] == 3
    assert counts["started"] >= 2  # and a spare, if it is there already
    assert "started" in pool(drained, "stats").stdout

    assert "removed " in pool(drained, "drain").stderr
    assert drained.left() == []
    assert ls(drained) == []


def test_misuse_is_reported(drained: Suite) -> None:
    drained.write("pytest.ini", "[pytest]\ndockwright_max_stacks = many\n")
    assert "pytest.ini: max_stacks = 'many'" in pool(drained, "ls", ok=False).stderr
    drained.write("pytest.ini", "[pytest]\n")
    assert "the declared stacks are: default" in pool(drained, "warm", "mial", ok=False).stderr
    assert "expected a duration, such as" in pool(drained, "warm", "--for", "soon", ok=False).stderr
    drained.compose(text="services: {web: {imgae: x}}")
    assert "imgae" in pool(drained, "warm", ok=False).stderr
    assert ls(drained) == []
