"""A suite's own seed is part of the baseline, in every copy and after every reset."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite, output

pytestmark = pytest.mark.engine

CONFTEST = """
import pathlib

here = pathlib.Path(__file__).parent

def dockwright_seed(stack, name):
    content = (here / "seed.txt").read_text()
    stack.exec("web", ["sh", "-c", f"cat /data/seed >> /data/twice; echo {content} > /data/seed"])
    with (here / "seeded").open("a") as file:
        file.write(f"{name} {stack.project}\\n")
"""

TESTS = """
import pytest
from dockwright import stateless

def names(stack):
    return stack.exec("web", ["ls", "/data"]).stdout.split()

@stateless
def test_reads(stack):
    assert stack.exec("web", ["cat", "/data/seed"]).stdout == "CONTENT\\n"

@pytest.mark.parametrize("number", range(3))
def test_writes(stack, number):
    assert names(stack) == ["seed", "twice", "www"]
    assert stack.exec("web", ["cat", "/data/twice"]).stdout == ""
    stack.exec("web", ["sh", "-c", "rm /data/seed; echo x > /data/twice"])
"""


@pytest.fixture
def seeded(suite: Suite) -> Suite:
    """A suite with a seed that reads a file."""
    suite.write("conftest.py", CONFTEST)
    suite.write("seed.txt", "first")
    suite.write("test_it.py", TESTS.replace("CONTENT", "first"))
    return suite


def seedings(suite: Suite) -> list[str]:
    """Return which stacks were seeded so far: declared name and copy."""
    return (suite.path / "seeded").read_text().splitlines()


def test_every_copy_is_seeded_once(seeded: Suite) -> None:
    seeded.passes("-n", "2", passed=4)
    copies = seedings(seeded)
    assert len(copies) == len(set(copies)) >= 1
    assert {line.split()[0] for line in copies} == {"default"}

    # What the hook reads is unknown: the next run seeds its own copies, with what is there then.
    seeded.write("seed.txt", "second")
    seeded.write("test_it.py", TESTS.replace("CONTENT", "second"))
    seeded.passes(passed=4)
    assert len(seedings(seeded)) > len(copies)


def test_declared_inputs_keep_the_seeded_volumes(seeded: Suite) -> None:
    seeded.write("pytest.ini", "[pytest]\ndockwright_seed_inputs = *.txt\n")
    seeded.passes("--dockwright-max-stacks", "1", passed=4)
    assert len(seedings(seeded)) == 1
    seeded.passes("--dockwright-max-stacks", "1", passed=4)
    once = len(seedings(seeded))
    assert once in (1, 2)  # 2: reading the volume took too long to be worth keeping it
    seeded.write("seed.txt", "second")
    seeded.write("test_it.py", TESTS.replace("CONTENT", "second"))
    seeded.passes("--dockwright-max-stacks", "1", passed=4)
    assert len(seedings(seeded)) == once + 1


def test_failures_are_reported(seeded: Suite) -> None:
    seeded.write("conftest.py", "def dockwright_seed(stack):\n    raise ValueError('no seed')\n")
    seeded.write("test_it.py", "def test_one(stack): pass\ndef test_two(stack): pass\n")
    text = output(seeded.passes(errors=2))
    assert "dockwright_seed failed on stack 'default'" in text
    assert "ValueError: no seed" in text
    assert 'conftest.py", line 2, in dockwright_seed' in text
    assert "pluggy" not in text.split("dockwright_seed failed")[1].split("hint:")[0]

    seeded.write("conftest.py", "def dockwright_seed(stack, nmae): pass\n")
    result = seeded.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "hint: write def dockwright_seed(stack, name)" in output(result)

    seeded.write("conftest.py", CONFTEST)
    result = seeded.run("--dockwright-seed-inputs", "nowhere/*.sql")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "seed_inputs: no file " in output(result)
    assert seeded.left() == []


def test_a_worker_that_dies_while_seeding_leaves_it_to_others(seeded: Suite) -> None:
    seeded.write(
        "conftest.py",
        CONFTEST.replace(
            "    content =",
            "    if not (here / 'died').exists():\n"
            "        (here / 'died').touch()\n"
            "        __import__('os')._exit(1)\n"
            "    content =",
        ),
    )
    result = seeded.run("-n", "2")
    result.assert_outcomes(passed=3, failed=1)
    assert (seeded.path / "died").exists()
    assert seedings(seeded)
    assert seeded.left() == []
