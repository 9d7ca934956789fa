"""A small suite that runs in processes of its own, to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from dockwright.engine import PREFIX, Engine
from dockwright.paths import project_hash
from dockwright.stack import marked_processes
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.owned import leftovers
from tests._support.project import LEAN

_COMPOSE = """
name: crash
services:
  box:
    image: {image}
    command: ["sh", "-c", "echo up; while :; do sleep 0.1; done"]
    volumes: ["data:/data"]
    healthcheck: {{test: ["CMD-SHELL", "true"], interval: 10s}}
volumes:
  data:
x-dockwright:
  processes:
    helper:
      command: [{python}, "-u", "-c", "import time; print('ready'); time.sleep(600)"]
      depends_on: [box]
      ready: {{log: ready}}
"""

_TESTS = """
import pytest

@pytest.mark.stateless
@pytest.mark.parametrize("number", range(3))
def test_reads(stack, number):
    assert stack.exec("box", ["ls", "/data"]).stdout == ""

@pytest.mark.stateful
@pytest.mark.parametrize("number", range(4))
def test_changes(stack, number):
    assert stack.exec("box", ["ls", "/data"]).stdout == ""
    assert stack.exec("box", ["touch", f"/data/{number}"]).exit_code == 0
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """The suite's checkout and how it is run.

    Attributes:
        root: the checkout.
        environ: the environment of its runs.
        prefix: a command that runs it, e.g. as another user.
    """

    root: Path
    environ: dict[str, str]
    prefix: tuple[str, ...] = ()

    @classmethod
    def write(cls, root: Path, image: str, home: Path) -> Suite:
        """Write the suite's files below `root`; sockets and state go below `home`."""
        root.mkdir()
        (root / "compose.yaml").write_text(_COMPOSE.format(image=image, python=sys.executable))
        (root / "test_crash.py").write_text(_TESTS)
        (root / "pytest.ini").write_text(f"[pytest]\naddopts = -p no:cacheprovider {LEAN}\n")
        runtime = home / "r"
        runtime.mkdir(exist_ok=True, mode=0o700)
        environ = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        return cls(root, environ)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start pytest in a session of its own."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "pytest", "-q", *options],
            cwd=self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str, timeout_s: float = 120.0) -> tuple[int, str]:
        """Run pytest to its end; return its exit code and output."""
        with self.start(*options) as process:
            output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output

    def brokers(self) -> list[psutil.Process]:
        """Return the brokers of this checkout."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if "dockwright.pool.broker" in (line := process.info["cmdline"] or [])
            and str(self.root) in line
        ]

    def end_brokers(self) -> None:
        """End what a failed check may have left running."""
        for process in self.brokers():
            process.terminate()
            process.wait(60)

    def left(self, engine: Engine) -> list[str]:
        """Name everything of this checkout that is on the engine or runs as a process."""
        project = project_hash(self.root)
        processes = [
            f"process {marked.process.pid}"
            for marked in marked_processes()
            if marked.ownership.project == project
        ]
        return [*leftovers(engine, {f"{PREFIX}project": project}), *processes]

    def wait_until_nothing_is_left(self, engine: Engine, *, timeout_s: float) -> float:
        """Return how long it took, in seconds, until nothing of this checkout was left.

        Raises:
            WaitTimeoutError: something is still there; names it.
        """

        def outcome() -> Outcome:
            left = self.left(engine)
            return Continue(f"left: {left}") if left else Ready()

        return until(outcome, subject="nothing to be left", timeout_s=timeout_s).elapsed_s


def there(suite: Suite, engine: Engine) -> Outcome:
    """Look whether a container of the checkout runs."""
    labels = {f"{PREFIX}project": project_hash(suite.root)}
    return Ready() if engine.list_containers(labels, all=False) else Continue("none runs")


def workers_of(process: psutil.Process) -> Sequence[psutil.Process]:
    """Return the xdist workers of a pytest process."""
    return [
        child
        for child in process.children()
        if not any("dockwright" in part for part in child.cmdline())
    ]


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a pytest and its workers that a check left running; its broker is in another session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(60)
