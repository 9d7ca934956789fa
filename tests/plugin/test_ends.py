"""However a run ends, and where it only looks, nothing is left on the engine."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from dockwright.wait import Continue, Outcome, Ready, until
from tests.plugin.suite import TIMEOUT_S, Suite

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    "option", ["--collect-only", "--fixtures", "--fixtures-per-test", "--setup-plan"]
)
def test_looking_starts_nothing(suite: Suite, option: str) -> None:
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.run(option, "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*= dockwright =*")
    assert suite.left() == []


def test_ctrl_c_leaves_nothing(suite: Suite) -> None:
    suite.write(
        "test_it.py",
        """
        import pathlib

        def test_reset_behind(stack):
            stack.exec("web", ["touch", "/data/x"])

        def test_hangs(stack):
            pathlib.Path(__file__).with_name("hangs").touch()
            stack.exec("web", ["sleep", "60"])
        """,
    )
    arguments = suite.pytester._getpytestargs()
    process = suite.pytester.popen(
        [*arguments, "-p", "no:randomly", "-p", "no:cacheprovider"], stdin=subprocess.DEVNULL
    )
    try:
        until(lambda: _exists(suite.path / "hangs"), subject="the test", timeout_s=TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert b"KeyboardInterrupt" in out
    assert suite.left() == []


def test_ctrl_c_while_stacks_are_removed_ends_at_once(suite: Suite) -> None:
    suite.write(
        "conftest.py",
        """
        import signal

        import pytest


        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish():
            from dockwright.pool.client import PoolClient

            PoolClient._answer_to = lambda *_: signal.raise_signal(signal.SIGINT)
        """,
    )
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["interrupted: the broker removes the stacks without being awaited", "* 1 passed in *"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    until(lambda: _nothing_left(suite), subject="the broker", timeout_s=TIMEOUT_S)


def _nothing_left(suite: Suite) -> Outcome:
    left = suite.left()
    return Continue(", ".join(left)) if left else Ready()


def _exists(file: Path) -> Outcome:
    return Ready() if file.exists() else Continue(f"{file.name} is not there")


def test_a_broker_that_is_killed_is_told_without_a_traceback(suite: Suite) -> None:
    suite.write(
        "test_it.py",
        """
        import os
        import signal

        import psutil

        def test_kills_it(stack, pytestconfig):
            root = str(pytestconfig.rootpath)
            for process in psutil.process_iter(["cmdline"]):
                line = process.info["cmdline"] or []
                if "dockwright.pool.broker" in line and root in line:
                    process.kill()
                    process.wait()

        def test_after_it(stack):
            pass
        """,
    )
    result = suite.run()
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_kills_it*",
            "the broker is gone (asked to release)",
            "  hint: what it left is removed by the next run, or by `dockwright clean`",
            "*ERROR at setup of test_after_it*",
            "the broker is gone (asked to acquire)",
        ]
    )
    result.stdout.no_fnmatch_line("*/dockwright/*")
    suite.write("test_it.py", "def test_it(stack): pass\n")
    suite.passes(passed=1)
