"""Wrong input: every command says what, where and what to do, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from tests._support.project import Project, clean_environment, free_port, plain_service

SLEEPER = plain_service("web", "exec tail -f /dev/null")


def refused(
    capsys: pytest.CaptureFixture[str], arguments: str | list[str], code: int, *words: str
) -> str:
    """Run a command in this process; check its exit code and what it says."""
    assert run(arguments.split() if isinstance(arguments, str) else arguments) == code
    err = capsys.readouterr().err
    for word in words:
        assert word in err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory and an environment that steers nothing."""
    for key in os.environ.keys() - clean_environment(tmp_path).keys():
        monkeypatch.delenv(key)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("bogus", ["dockwright has no command 'bogus'", "available commands: init, stack, "]),
        ("stack strat", ["dockwright stack has no command 'strat'", "start, stop, restart"]),
        ("--bogus", ["--bogus", "see 'dockwright --help'"]),
        ("clean --jsn", ["--jsn", "see 'dockwright clean --help'"]),
        ("doctor extra", ["extra", "see 'dockwright doctor --help'"]),
        ("--engine", ["'--engine' requires an argument"]),
        ("--engine ftp://host doctor2", ["has no command 'doctor2'"]),
        (
            "--engine ftp://host clean",
            ["ftp://host", "the scheme is not one of", "ssh://user@host"],
        ),
        ("--engine ssh://me:secret@host clean", ["a password does not belong in the address"]),
        ("stack logs --tail many", ["'many' is not a valid integer", "stack logs --help"]),
        ("stack logs --tail -1", ["-1 is not in the range"]),
        ("stack logs --since yesterday", ["'yesterday'", "10m (ago) or 2026-01-31T08:00:00Z"]),
        ("stack start --timeout soon", ["'soon'", "250ms, 30s, 10m or 1h30m"]),
        ("stack start", ["no Compose file", "compose.yaml"]),
        ("stack status -f gone.yaml", ["gone.yaml", "no such file"]),
        ("stack stop -f .", ["'.' is a directory"]),
    ],
)
def test_a_wrong_command_line(
    nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: str, words: list[str]
) -> None:
    refused(capsys, arguments, 2, *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["stack", "config", "-f", "a\nb"],
        ["stack", "config", "--env-file", "a\nb"],
        ["stack", "config", "a\nb"],
        ["a\nb"],
    ],
)
def test_a_line_break_in_an_argument_is_escaped(
    nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    first = refused(capsys, arguments, 2).splitlines()[0]
    assert "a\\nb" in first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services:\n  web: {image: a\n", ["compose.yaml:"]),
        ("services:\n  web:\n    imag: a\n", ["compose.yaml:3", "services.web", "imag"]),
        (
            "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
            ["circular dependency: a -> b -> a"],
        ),
        ("services:\n  web:\n    image: ${TAG:?set a tag}\n", ["TAG", "set a tag"]),
        ("services:\n  web: {image: a, depends_on: [gone]}\n", ["gone", "services.web"]),
        ("- a\n- b\n", ["compose.yaml"]),
    ],
)
def test_a_wrong_compose_file(
    nowhere: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    (nowhere / "compose.yaml").write_text(text)
    refused(capsys, "stack start", 2, *words)


def test_a_wrong_project_name(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere / "compose.yaml").write_text("services: {web: {image: a}}")
    refused(capsys, ["stack", "start", "-p", "No Name"], 2, "No Name")


@pytest.mark.parametrize("command", ["stack start", "stack status", "clean"])
def test_no_engine(
    nowhere: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    (nowhere / "compose.yaml").write_text("services: {web: {image: a}}")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    refused(
        capsys, command, 1, "no engine at unix:///nonexistent (from DOCKER_HOST)", "start Docker"
    )


def test_an_unknown_context(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "moon")
    refused(capsys, "clean", 2, "unknown docker context 'moon'", "known contexts: default")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("XDG_STATE_HOME", "a-file", ["a-file", "Not a directory", "a file is in the way"]),
        ("XDG_STATE_HOME", "/proc/none", ["/proc/none", "No such file or directory"]),
    ],
)
def test_a_state_directory_that_cannot_be_made(
    nowhere: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    words: list[str],
) -> None:
    (nowhere / "compose.yaml").write_text("services: {web: {image: a}}")
    (nowhere / "a-file").touch()
    monkeypatch.setenv(variable, str(nowhere / value))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    refused(capsys, "stack install --no-check --no-pull", 1, *words)


@pytest.mark.parametrize("command", ["stack install --no-check --no-pull", "cache ls", "doctor"])
def test_without_a_home_directory(
    nowhere: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    (nowhere / "compose.yaml").write_text("services: {web: {image: a}}")
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", _nobody)
    refused(capsys, command, 2, "this user has no home directory", "hint: set HOME, or ")
    assert not (nowhere / "~").exists()


def _nobody(uid: int) -> object:
    raise KeyError(uid)


def test_a_cache_directory_in_a_home_that_does_not_exist(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", "~no-such-user/cache")
    refused(capsys, "cache ls", 2, "DOCKWRIGHT_CACHE_DIR=~no-such-user/cache", "an absolute path")


def test_a_directory_name_that_is_not_utf8(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(os.fsdecode(os.fsencode(nowhere) + b"/x\xff"))
    directory.mkdir()
    (directory / "compose.yaml").write_text("services: {web: {image: a}}")
    monkeypatch.chdir(directory)
    refused(capsys, "runs ls", 2, r"the project's path is not UTF-8: ", r"here/x\udcff")


_AS_SOMEBODY_ELSE = """
import os, sys
import docker.transport, dockwright.cli.clean, dockwright.engine.http  # while they can be read
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from dockwright.cli import main
main(["--engine", sys.argv[1], "clean"])
"""


def test_an_engine_socket_without_permission(tmp_path: Path) -> None:
    place = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(place))
        engine.listen()
        place.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", _AS_SOMEBODY_ELSE, f"unix://{place}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
            env=clean_environment(tmp_path),
        )
    assert done.returncode == 1
    assert f"permission denied for the engine at unix://{place} (from the option)" in done.stderr
    assert "hint: add the user to the group that owns the socket" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.engine
class TestWithAnEngine:
    """What can go wrong only with an engine; the project must have left nothing on it."""

    @pytest.fixture(autouse=True)
    def _in_project(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project.directory)
        for key in os.environ.keys() - project.environ.keys():
            monkeypatch.delenv(key)
        for key, value in project.environ.items():
            monkeypatch.setenv(key, value)

    @pytest.mark.parametrize("command", ["start", "stop", "restart", "logs"])
    def test_an_unknown_service(
        self, project: Project, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        project.write(SLEEPER)
        words = f"stack {project.name}: no service 'wbe'", "the services are: web"
        refused(capsys, f"stack {command} wbe", 2, *words)
        assert project.left() == []

    @pytest.mark.parametrize("command", ["restart", "logs"])
    def test_a_stack_that_was_never_started(
        self, project: Project, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        project.write(SLEEPER)
        words = "was never started", "`dockwright stack start`"
        refused(capsys, f"stack {command}", 1, project.name, *words)

    def test_a_used_port(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        port = free_port()
        project.write(SLEEPER + f"\n  ports: ['127.0.0.1:{port}:80']")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            words = (
                "service web: cannot start container",
                f"host port {port} is in use",
                "ss -ltnp",
            )
            assert run(["stack", "start"]) == 1
        err = capsys.readouterr().err
        assert all(word in err for word in words), err
        assert project.left() == []

    def test_a_missing_image(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        project.write("web: {image: dockwright-test/gone:1, pull_policy: never}")
        words = "service web", "dockwright-test/gone:1 is not on the engine", "docker pull"
        refused(capsys, "stack start", 1, *words)
        assert project.left() == []

    def test_an_image_that_cannot_be_pulled(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write("web: {image: '127.0.0.1:9/gone:1'}")
        assert run(["stack", "start"]) == 1
        err = capsys.readouterr().err
        assert "web: pulling 127.0.0.1:9/gone:1" in err
        assert "cannot be pulled" in err
        assert project.left() == []

    def test_a_service_that_exits(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(
            plain_service(
                "web", "echo out of luck; exit 3", ["healthcheck: {test: [CMD, 'false']}"]
            )
        )
        assert run(["stack", "start"]) == 1
        err = capsys.readouterr().err
        assert "web" in err
        assert "exited with code 3" in err
        assert "out of luck" in err
        assert project.left() == []

    def test_a_service_that_never_becomes_healthy(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(
            plain_service(
                "web",
                "echo still thinking; exec tail -f /dev/null",
                ["healthcheck: {test: [CMD, 'false']}"],
            )
            + "\n"
            + plain_service("proxy", "exec tail -f /dev/null")
            + "\n  depends_on: {web: {condition: service_healthy}}"
        )
        assert run(["stack", "start", "--timeout", "500ms"]) == 1
        err = capsys.readouterr().err
        assert "web: failed" in err
        assert "proxy: called off" in err
        assert "for web to be healthy" in err
        assert "still thinking" in err
        assert project.left() == []

    def test_a_command_that_is_not_in_the_image(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write("web: {image: IMAGE, command: [gone-command]}")
        assert run(["stack", "start"]) == 1
        err = capsys.readouterr().err
        assert "service web" in err
        assert "gone-command" in err
        assert project.left() == []

    def test_a_missing_external_network(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(
            SLEEPER + "\n  networks: [out]", "networks: {out: {external: true, name: dw-gone-net}}"
        )
        assert run(["stack", "start"]) == 1
        assert "dw-gone-net" in capsys.readouterr().err
        assert project.left() == []

    def test_a_native_process_that_cannot_be_started(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(SLEEPER, "x-dockwright: {processes: {job: {command: [gone-command]}}}")
        assert run(["stack", "start"]) == 1
        err = capsys.readouterr().err
        assert "process job: cannot start 'gone-command'" in err
        assert "x-dockwright.processes.job.command" in err
        assert project.left() == []

    def test_a_name_that_docker_compose_uses_elsewhere(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(SLEEPER)
        labels = {**project.labels, "com.docker.compose.project.working_dir": "/elsewhere"}
        name = f"{project.name}-other-1"
        project.engine.create_container(
            name, {"Image": project.image, "Labels": labels, "Cmd": ["true"]}
        )
        for command in ("start", "status", "stop", "uninstall --force"):
            refused(
                capsys,
                f"stack {command}",
                1,
                f"the project name '{project.name}' is already in use: docker compose started it",
                f"from /elsewhere (container {name})",
                f"remove that project first (`docker compose -p {project.name} down`), "
                "or choose another name with -p",
            )
        assert project.left() == [f"container /{name}"]

    def test_a_name_that_dockwright_uses_elsewhere(
        self, project: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        project.write(SLEEPER)
        assert run(["stack", "start"]) == 0
        capsys.readouterr()
        file, elsewhere = project.directory / "compose.yaml", project.directory / "elsewhere"
        elsewhere.mkdir()
        shutil.copy(file, elsewhere)
        remover = f"stack uninstall -p {project.name} -f {file}"
        refused(
            capsys,
            f"stack stop -f {elsewhere / file.name}",
            1,
            f"the project name '{project.name}' is already in use: dockwright started it from "
            f"{project.directory} ",
            f"remove that project first (`dockwright {remover}`), or choose another name with -p",
        )
        with contextlib.chdir(elsewhere):
            assert run([*remover.split(), "--force"]) == 0
        assert project.left() == []

    def test_uninstall_without_a_terminal(
        self, project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project.write(SLEEPER)
        assert run(["stack", "start"]) == 0
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert run(["stack", "uninstall"]) == 2
        err = capsys.readouterr().err
        assert "cannot ask for confirmation without a terminal" in err
        assert "hint: add --force" in err
        assert project.running() == {"web"}
