"""However a run ends, and where it only looks, nothing is left on the engine."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.engine.scratch import SCRATCH
from tests._support.owned import Owned
from tests._support.suite import TIMEOUT_S, Suite

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
        ["interrupted: the broker is still removing the stacks", "* 1 passed in *"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    until(lambda: _nothing_left(suite), subject="the broker", timeout_s=TIMEOUT_S)


HANGS = {
    "a service that never gets ready": """
        services:
          web:
            image: {image}
            command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
            healthcheck: {{test: ["CMD", "false"], interval: 5s, retries: 1000}}
        """,
    "a health check that hangs": """
        services:
          web:
            image: {image}
            command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
            healthcheck: {{test: ["CMD", "sleep", "600"], interval: 5s, timeout: 500s}}
        """,
    "a server that is none": """
        services:
          web:
            image: redis:7
            command: [sleep, "600"]
        """,
    "a service that never completes": """
        services:
          once:
            image: {image}
            command: [sleep, "600"]
          web:
            image: {image}
            command: [sleep, "600"]
            depends_on: {{once: {{condition: service_completed_successfully}}}}
        """,
    "a native process that never gets ready": """
        services:
          web: {{image: "{image}", command: [sleep, "600"]}}
        x-dockwright:
          processes:
            app: {{command: [sleep, "600"], depends_on: [web], ready: {{log: never}}}}
        """,
    "a build": """
        services:
          web: {{image: "{image}", command: [sleep, "600"]}}
          built:
            build: {{context: ., dockerfile_inline: "FROM {image}\\nRUN : {name}; sleep 600\\n"}}
        """,
}


def ended_while_starting(
    suite: Suite,
    *arguments: str,
    signals: Sequence[int],
    of_many: int = 1,
    started: Callable[[], Outcome] | None = None,
) -> None:
    """Start a run, end it by signals once a container exists, and check that nothing is left.

    `started` tells when to send the signals if the start never gets as far as a container.
    """
    suite.write(
        "test_it.py",
        f"import pytest\n@pytest.mark.parametrize('n', range({of_many}))\n"
        "def test_it(stack, n): pass\n",
    )
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "--dockwright-start-timeout=600s"]
    process = suite.pytester.popen(
        [*suite.pytester._getpytestargs(), *options, *arguments], stdin=subprocess.DEVNULL
    )
    try:
        began = started or (lambda: _something_there(suite))
        until(began, subject="the start", timeout_s=TIMEOUT_S)
        for number in signals:
            process.send_signal(number)
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    until(lambda: _nothing_left(suite), subject="nothing to be left", timeout_s=TIMEOUT_S)


def _builds(suite: Suite) -> str:
    """Return what the commands of a suite's builds say, as their containers have no labels."""
    return f"{suite.path.parent.name}/{suite.path.name}"


def _something_there(suite: Suite) -> Outcome:
    return Continue("nothing is there yet") if not _there(suite) else Ready()


def _there(suite: Suite) -> list[str]:
    building = [
        each["Id"] for each in suite.engine.list_containers({}) if _builds(suite) in each["Command"]
    ]
    return [*suite.left(), *building]


@pytest.mark.soak(sample=4)
@pytest.mark.parametrize("keep_warm", ["0s", "10m"])
@pytest.mark.parametrize("hangs", HANGS)
def test_a_start_that_hangs_ends_with_the_run(suite: Suite, hangs: str, keep_warm: str) -> None:
    suite.compose(text=HANGS[hangs].format(image=SCRATCH, name=_builds(suite)))
    arguments = [f"--dockwright-keep-warm={keep_warm}"]
    ended_while_starting(suite, *arguments, signals=[signal.SIGTERM])
    _end_broker(suite)


def test_an_image_pull_that_hangs_ends_with_the_run(suite: Suite) -> None:
    connections = []

    def asked() -> Outcome:
        try:
            connections.append(registry.accept())
        except BlockingIOError:
            return Continue("the registry has no connection")
        return Ready()

    with socket.create_server(("127.0.0.1", 0)) as registry:  # it accepts and never answers
        registry.setblocking(False)
        image = f"127.0.0.1:{registry.getsockname()[1]}/dockwright-test/never:1"
        suite.compose(text=f"services: {{web: {{image: '{image}'}}}}")
        ended_while_starting(suite, signals=[signal.SIGTERM], started=asked)
        until(lambda: _no_broker(suite), subject="the broker", timeout_s=TIMEOUT_S)
    for connection, _ in connections:
        connection.close()


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGHUP], [signal.SIGKILL], [signal.SIGINT, signal.SIGINT]],
    ids=["SIGHUP", "SIGKILL", "Ctrl-C twice"],
)
def test_however_a_run_is_ended_its_start_ends(suite: Suite, signals: list[int]) -> None:
    suite.compose(text=HANGS["a service that never gets ready"].format(image=SCRATCH))
    ended_while_starting(suite, signals=signals)


def test_the_start_ends_when_the_main_process_of_xdist_is_ended(suite: Suite) -> None:
    suite.compose(text=HANGS["a service that never gets ready"].format(image=SCRATCH))
    ended_while_starting(suite, "-n", "2", signals=[signal.SIGTERM], of_many=2)


def _end_broker(suite: Suite) -> None:
    for process in _brokers(suite):
        process.terminate()
        process.wait(TIMEOUT_S)


def _no_broker(suite: Suite) -> Outcome:
    return Continue("a broker runs") if _brokers(suite) else Ready()


def _brokers(suite: Suite) -> list[psutil.Process]:
    lines = [(each, each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    return [
        process
        for process, line in lines
        if "dockwright.pool.broker" in line and str(suite.path) in line
    ]


def _nothing_left(suite: Suite) -> Outcome:
    left = _there(suite)
    return Continue(", ".join(left)) if left else Ready()


def _exists(file: Path) -> Outcome:
    return Ready() if file.exists() else Continue(f"{file.name} is not there")


def test_a_killed_broker_is_reported_without_a_traceback(suite: Suite) -> None:
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
            "  hint: the next run removes what it left, and so does `dockwright clean`",
            "*ERROR at setup of test_after_it*",
            "the broker is gone (asked to acquire)",
        ]
    )
    result.stdout.no_fnmatch_line("*/dockwright/*")
    suite.write("test_it.py", "def test_it(stack): pass\n")
    suite.passes(passed=1)


def test_leftovers_of_a_broker_that_dies_at_the_end_are_removed(suite: Suite) -> None:
    suite.write(
        "conftest.py",
        """
        import psutil
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionfinish(session):
            root = str(session.config.rootpath)
            for process in psutil.process_iter(["cmdline"]):
                line = process.info["cmdline"] or []
                if "dockwright.pool.broker" in line and root in line:
                    process.kill()
                    process.wait()
        """,
    )
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.passes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["warning: the broker died; what it left has been removed"])


def test_an_unexpected_failure_when_the_broker_exits_is_reported(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write(
        "sitecustomize.py",
        """
        import sys

        if "dockwright.pool.broker" in " ".join(sys.orig_argv):
            from dockwright.pool.journal import Workspace

            def remove(self):
                raise OSError(5, "Input/output error")

            Workspace.remove = remove
        """,
    )
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.passes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "problem: OSError: * Input/output error",
            "* 1 passed in *",
            "dockwright: no test failed, but the exit status is 1: OSError: *",
        ]
    )


def test_a_container_on_the_network_of_a_copy_does_not_keep_it(suite: Suite, owned: Owned) -> None:
    container = owned.run(SCRATCH, "sleep", "600")
    suite.write(
        "test_it.py",
        f"""
        def test_it(stack, docker_client):
            name = stack.project + "_default"
            docker_client.networks.get(name).connect("{container}")
        """,
    )
    result = suite.passes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    assert suite.engine.inspect_container(container)["State"]["Running"]
