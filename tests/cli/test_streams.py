"""Standard streams that are closed, full, or of which nobody reads the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests._support.project import COMMAND, Project, clean_environment, plain_service

LONG = "services:\n" + "".join(f"  s{number}: {{image: a}}\n" for number in range(2000))


def run(
    directory: Path, command: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which ``$@`` is the ``dockwright`` command."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *COMMAND],
        cwd=directory,
        env=environ or clean_environment(directory / "state"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A directory with a project of which much can be told."""
    (tmp_path / "compose.yaml").write_text(LONG)
    return tmp_path


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["stack config", "cache ls --json"])
def test_closed_streams_do_not_fail_a_command(long: Path, command: str, closed: str) -> None:
    done = run(long, f'"$@" {command} {closed}')
    assert done.returncode == 0
    assert "bug" not in done.stderr
    assert bool(done.stdout) == (closed in ("<&-", "2>&-"))


def test_a_closed_stream_does_not_hide_a_failure(long: Path) -> None:
    done = run(long, '"$@" stack config -f gone.yaml >&-')
    assert done.returncode == 2
    assert "gone.yaml: no such file" in done.stderr


def test_a_broken_pipe_prints_nothing(long: Path) -> None:
    done = run(long, '"$@" stack config | head -n 1')
    assert done.stdout.startswith("name: ")
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", ["stack config", "--help", "stack config --services"])
def test_output_that_cannot_be_written_is_an_error(long: Path, command: str) -> None:
    done = run(long, f'"$@" {command} > /dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: writing: No space left on device\n  hint: free some space"
    )
    assert done.stderr.count("\n") == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("command", "code"), [("stack config -f gone.yaml", 2), ("no-such-command", 2), ("", 2)]
)
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(
    long: Path, command: str, code: int
) -> None:
    assert run(long, f'"$@" {command} 2> /dev/full').returncode == code


@pytest.mark.engine
def test_logs_that_cannot_be_written_are_an_error(project: Project) -> None:
    project.write(plain_service("web", "echo hello; exec tail -f /dev/null"))
    project.done("stack", "start")
    done = run(project.directory, '"$@" stack logs > /dev/full', project.environ)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Exception ignored" not in done.stderr
