"""A Compose project in a directory of its own, and the real command run in it."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from unittest import mock

from dockwright.cli.errors import run
from tests._support.owned import leftovers

if TYPE_CHECKING:
    from dockwright.engine import Engine

COMMAND = (sys.executable, "-c", "from dockwright.cli import main; main()")
LIMIT_S = 60.0
LEAN = "-p no:hypothesispytest -p no:pytest_databases -p no:pytest-testmon"
"""Options of every inner pytest: no plugins that import much, or have fixtures of our names."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Project:
    """A project directory that commands are run in; `remove` takes away what they made.

    Attributes:
        directory: the directory.
        name: the project's name, which nothing else on the engine has.
        engine: where its stack runs.
        image: of its services.
        environ: of its commands.
        wrapper: what commands in a process of their own are run by, such as ``setpriv ...``.
    """

    directory: Path
    name: str
    engine: Engine
    image: str
    environ: Mapping[str, str]
    wrapper: tuple[str, ...] = ()

    def write(self, services: str, rest: str = "", file: str = "compose.yaml") -> None:
        """Write a Compose file; ``IMAGE`` stands for the tiny image."""
        body = "\n".join(f"  {line}" for line in services.splitlines())
        text = f"name: {self.name}\nservices:\n{body}\n{rest}\n"
        (self.directory / file).write_text(text.replace("IMAGE", self.image))

    def popen(self, *arguments: str, output: IO[str] | None = None) -> subprocess.Popen[str]:
        """Start the real command; what it prints comes through pipes, or goes to `output`."""
        return subprocess.Popen(
            [*self.wrapper, *COMMAND, *arguments],
            cwd=self.directory,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Result:
        """Run a command line in this process, as the real command does."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.directory),
            mock.patch.dict(os.environ, self.environ, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run(arguments)
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return Result(code, out.getvalue(), err.getvalue())

    def run_apart(self, *arguments: str) -> Result:
        """Run the real command in a process of its own."""
        with self.popen(*arguments) as process:
            out, err = process.communicate(timeout=LIMIT_S)
        assert "Traceback" not in err, err
        return Result(process.returncode, out, err)

    def done(self, *arguments: str, apart: bool = False) -> Result:
        """Run a command, in this process or apart, which must succeed."""
        result = self.run_apart(*arguments) if apart else self.run(*arguments)
        assert result.code == 0, result.err
        return result

    @property
    def labels(self) -> dict[str, str | None]:
        """What everything of this project is labelled with."""
        return {"com.docker.compose.project": self.name}

    def left(self) -> list[str]:
        """Name what the engine and this host still have of the project."""
        from dockwright.stack import marked_processes

        processes = [f"process {each.unit}" for each in marked_processes(self.name)]
        return leftovers(self.engine, self.labels) + processes

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        labels = {**self.labels, "com.docker.compose.service": service}
        (container,) = self.engine.list_containers(labels)
        return str(container["Id"])

    def running(self) -> set[str]:
        """Return the services whose containers run."""
        listed = self.engine.list_containers(self.labels, all=False)
        return {each["Labels"]["com.docker.compose.service"] for each in listed}

    def remove(self) -> None:
        """Remove everything that bears the project's name."""
        from dockwright.stack import kill_processes, marked_processes

        kill_processes(each.process for each in marked_processes(self.name))
        for container in self.engine.list_containers(self.labels):
            self.engine.remove_container(container["Id"])
        for network in self.engine.list_networks(self.labels):
            self.engine.remove_network(network["Id"])
        for volume in self.engine.list_volumes(self.labels):
            self.engine.remove_volume(volume["Name"])


def clean_environment(state: Path, **more: str) -> dict[str, str]:
    """Return the environment of this process without what would steer a command."""
    steering = ("DOCKWRIGHT_", "COMPOSE_", "DOCKER_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(steering)}
    places = {"XDG_STATE_HOME": str(state), "XDG_CONFIG_HOME": str(state / "config")}
    removal = {"DOCKWRIGHT_WAIT_FOR_REMOVAL": "1"}  # tests count what is left
    return {**kept, **places, **removal, "COLUMNS": "120", "PYTEST_ADDOPTS": LEAN, **more}


def free_port() -> int:
    """Return a TCP port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_service(name: str, script: str, lines: Iterable[str] = ()) -> str:
    """Return a service of the tiny image that runs a shell script and ends at once when stopped."""
    return "\n".join(
        [
            f"{name}:",
            "  image: IMAGE",
            f"  command: [sh, -c, {script!r}]",
            "  stop_signal: SIGKILL",
            *(f"  {line}" for line in lines),
        ]
    )
