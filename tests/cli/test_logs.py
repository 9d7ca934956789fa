"""``dockwright stack logs``: interleaved by time, limited, followed, in constant memory."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from tests._support.project import LIMIT_S, Project, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"


@pytest.fixture
def two(project: Project) -> Project:
    """A project whose two services have written in turns."""
    project.write(f"{plain_service('a', FOREVER)}\n{plain_service('long-name', FOREVER)}")
    project.done("stack", "start")
    for number in range(3):
        for service in ("a", "long-name"):
            say(project, service, f"{service} {number}")
    return project


def say(project: Project, service: str, text: str) -> None:
    """Write a line to the log of a service."""
    argv = ["sh", "-c", f"echo '{text}' > /proc/1/fd/1"]
    assert project.engine.exec(project.container(service), argv).exit_code == 0


def test_services_are_interleaved_by_time_and_prefixed(two: Project) -> None:
    expected = [f"{name.ljust(9)} | {name} {n}" for n in range(3) for name in ("a", "long-name")]
    assert two.done("stack", "logs").out.splitlines() == expected


def test_one_service_has_no_prefix(two: Project) -> None:
    assert two.done("stack", "logs", "a").out == "a 0\na 1\na 2\n"


def test_tail_and_since_limit_each_service(two: Project) -> None:
    assert (
        two.done("stack", "logs", "--tail", "1").out == "a         | a 2\nlong-name | long-name 2\n"
    )
    assert two.done("stack", "logs", "--since", "1h", "a").out == "a 0\na 1\na 2\n"
    assert two.done("stack", "logs", "--since", "2999-01-01", "a").out == ""


def test_timestamps_are_utc(two: Project) -> None:
    lines = two.done("stack", "logs", "a", "-t", "-n", "1").out
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z a 2\n", lines)


def test_follow_shows_old_and_new_lines_until_ctrl_c(two: Project) -> None:
    with two.popen("stack", "logs", "--follow", "--tail", "1") as process:
        assert process.stdout
        assert process.stderr
        assert [process.stdout.readline() for _ in range(2)] == [
            "a         | a 2\n",
            "long-name | long-name 2\n",
        ]
        say(two, "a", "news")
        assert process.stdout.readline() == "a         | news\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        assert process.stderr.read() == ""


def test_follow_ends_when_everything_has_ended(two: Project) -> None:
    with two.popen("stack", "logs", "--follow") as process:
        assert process.stdout
        process.stdout.readline()
        two.done("stack", "stop")
        assert process.wait(LIMIT_S) == 0


def test_a_reader_that_goes_away_is_not_an_error(two: Project) -> None:
    with two.popen("stack", "logs", "--follow") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        say(two, "a", "more")
        assert process.wait(LIMIT_S) == 1
        assert process.stderr.read() == ""


_MEASURED = """
import resource, sys
from dockwright.cli.errors import run
code = run(["stack", "logs", *sys.argv[1:]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def peak_mb(project: Project, *arguments: str) -> int:
    """Return how much memory showing the logs takes at most, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        cwd=project.directory,
        env=dict(project.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    code, peak = done.stderr.split()
    assert int(code) == 0
    return int(peak)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_memory_does_not_grow_with_the_log(project: Project, follow: list[str]) -> None:
    script = f"yes {'x' * 200} | head -n 30000"
    project.write(f"{plain_service('a', script)}\n{plain_service('b', script)}")
    project.done("stack", "start")
    for service in ("a", "b"):
        lines = project.engine.logs(project.container(service), follow=True, tail=0)
        assert list(lines) is not None  # until it has written everything
    small = peak_mb(project, "--tail", "1", *follow)
    assert peak_mb(project, *follow) - small < 6  # of 12 MB


@pytest.mark.parametrize("arguments", [["-f"], ["web", "-f"], ["-f", "-n", "2"]])
def test_a_short_option_of_compose_names_ours(project: Project, arguments: list[str]) -> None:
    refused = project.run("stack", "logs", *arguments)
    assert refused.code == 2
    assert "to follow logs, use --follow" in refused.err
