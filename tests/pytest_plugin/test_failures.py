"""What goes wrong is told in words, beside the test that it befell."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.engine.scratch import SCRATCH
from tests._support.suite import COMPOSE, Suite, output

TWO_TESTS = """
def test_with(stack): pass
def test_without(): pass
"""


def test_a_missing_engine_fails_only_those_who_need_it(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{bare.path}/no.sock")
    bare.path.joinpath("compose.yaml").write_text(COMPOSE)
    bare.makepyfile(TWO_TESTS + "def test_client(docker_client): pass\n")
    result = bare.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=2)
    text = output(result)
    assert "no.sock" in text
    assert "hint: " in text
    assert "Traceback" not in text
    assert "dockwright/" not in text  # no frame of ours


@pytest.mark.parametrize(
    ("compose", "said"),
    [
        ("services: [", "compose.yaml"),
        ("services:\n  web: {imgae: x}\n", "services.web*imgae"),
        (f"services:\n  web: {{image: {SCRATCH}, depends_on: [db]}}\n", "db"),
    ],
    ids=["not YAML", "unknown key", "unknown dependency"],
)
@pytest.mark.engine
def test_a_wrong_compose_file_is_named(suite: Suite, compose: str, said: str) -> None:
    suite.compose(text=compose)
    suite.write("test_two.py", TWO_TESTS)
    text = output(suite.passes(passed=1, errors=1))
    for part in said.split("*"):
        assert part in text
    assert "Traceback" not in text


@pytest.mark.engine
def test_no_compose_file_at_all(suite: Suite) -> None:
    (suite.path / "compose.yaml").unlink()
    suite.write("test_two.py", TWO_TESTS)
    text = output(suite.passes(passed=1, errors=1))
    assert f"no Compose file in {suite.path} or above it" in text


@pytest.mark.engine
def test_a_service_that_exits_shows_its_code_and_last_words(suite: Suite) -> None:
    suite.compose(
        text=f"""
        services:
          db:
            image: {SCRATCH}
            command: ["sh", "-c", "echo cannot open /etc/db.conf; exit 7"]
            healthcheck: {{test: ["CMD", "true"]}}
        """
    )
    suite.write("test_two.py", TWO_TESTS + "def test_again(stack): pass\n")
    text = output(suite.passes(passed=1, errors=2))
    assert re.search(r"db.*exit(ed)?.*7", text)
    assert "cannot open /etc/db.conf" in text
    assert "Traceback" not in text


@pytest.mark.engine
def test_a_failed_test_shows_what_services_wrote_meanwhile(suite: Suite) -> None:
    suite.write(
        "test_logs.py",
        """
        import pytest

        pytestmark = pytest.mark.module_cleanup

        def say(stack, words):
            stack.exec("web", ["sh", "-c", f"echo {words} > /proc/1/fd/1"])

        def test_first(stack):
            say(stack, "words of the first")

        def test_fails(stack):
            say(stack, "words of the second")
            say(stack, "ERROR 17: no such item")
            assert stack.services == ()
        """,
    )
    result = suite.passes("--dockwright-report=report.json", passed=1, failed=1)
    result.stdout.fnmatch_lines(["*log of web since the test began*", "words of the second"])
    first, second = json.loads((suite.path / "report.json").read_text())["run"]["tests"]
    assert "logs" not in first
    assert second["logs"] == ["web: ERROR 17: no such item"]
    result.stdout.no_fnmatch_line("words of the first")
    result = suite.passes("--dockwright-log-tail", "0", passed=1, failed=1)
    result.stdout.no_fnmatch_line("*log of web*")


@pytest.mark.engine
def test_a_kept_stack_can_be_looked_at_with_what_is_printed(suite: Suite) -> None:
    suite.write(
        "test_kept.py",
        """
        def test_fails(stack):
            stack.exec("web", ["touch", "/data/evidence"])
            raise ValueError("look at the evidence")

        def test_fails_too(stack):
            raise ValueError("only the first one is kept")
        """,
    )
    result = suite.run("--dockwright-keep-failed")
    result.assert_outcomes(failed=2)
    printed = dict(
        line.strip().split(": ", 1)
        for line in result.outlines
        if re.match(r"\s*(look|connect|remove): ", line) or line.startswith("kept the stack of")
    )
    project = printed["kept the stack of the first failed test"]
    assert {line.split()[1] for line in suite.left()} == {
        f"/{project}-web-1",
        f"{project}_default",
        f"{project}_data",
    }
    assert f"{project}-web-1" in _sh(printed["look"].strip())
    connect = shlex.split(printed["connect"])
    assert connect[-1] == "sh"
    command = [word for word in connect[:-1] if word != "-it"]  # nobody sits at a terminal here
    assert _sh(shlex.join([*command, "ls", "/data"])).split() == ["evidence", "www"]
    # The next run spares it.
    suite.run("--dockwright-keep-failed", "-k", "nothing")
    assert suite.left()
    _sh(printed["remove"].strip(), suite.path)
    assert suite.left() == []


def _sh(command: str, directory: Path | None = None) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=directory,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_failed_start_is_reported_in_full_once(suite: Suite) -> None:
    suite.compose(
        text=f"""
        services:
          web:
            image: {SCRATCH}
            command: ["sh", "-c", "echo no configuration; exit 3"]
            ports: ["80"]
        """
    )
    suite.write("test_it.py", "def test_one(stack): pass\n\ndef test_two(stack): pass\n")
    result = suite.passes(errors=2)
    out = result.stdout.str()
    assert out.count("it exited with code 3") == 2
    assert out.count("    no configuration") == 1
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_two*",
            "*exited with code 3",
            "  (full message: see test_it.py::test_one)",
        ]
    )


@pytest.mark.engine
def test_a_fixture_that_fails_is_shown_without_our_frames(suite: Suite) -> None:
    suite.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture
        def broken(stack):
            raise ValueError("a fault of the suite")

        def test_it(broken):
            pass
        """,
    )
    text = output(suite.passes("--tb=long", errors=1))
    assert "a fault of the suite" in text
    assert "dockwright/" not in text


@pytest.mark.engine
def test_internal_frames_of_dockwright_are_not_shown(suite: Suite) -> None:
    suite.write("test_it.py", "def test_it(stack):\n    stack.exec('nope', ['true'])\n")
    result = suite.run("--dockwright-log-tail", "0")
    result.stdout.fnmatch_lines(
        [
            ">*stack.exec('nope', *",
            "E*UnknownServiceError: stack *: no service 'nope'",
            "E*hint: the services are: web",
        ]
    )
    result.stdout.no_fnmatch_line("*/dockwright/*")
    suite.run("--full-trace").stdout.fnmatch_lines(["*/dockwright/pool/lease.py:*"])


@pytest.mark.engine
def test_a_service_that_is_killed_for_its_memory_is_named(suite: Suite) -> None:
    command = (
        'command: ["sh", "-c", "while ! test -e /full; do sleep 0.1; done; exec tail /dev/zero"]'
    )
    limits = "mem_limit: 24m\n    memswap_limit: 24m\n"
    suite.compose(text=f"services:\n  web:\n    image: {SCRATCH}\n    {command}\n    {limits}")
    suite.write(
        "test_it.py",
        """
        from dockwright import poll_for_container_stop

        def test_it(stack):
            stack.exec("web", ["touch", "/full"])
            poll_for_container_stop(stack.container("web"), 60)
            assert False
        """,
    )
    text = output(suite.passes(failed=1))
    assert "web was killed: it used all of its memory limit of 25.2 MB" in text
    assert "hint: raise mem_limit (or deploy.resources.limits.memory) in the Compose file" in text
