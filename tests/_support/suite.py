"""A small suite on a tiny stack, run by pytest in a process of its own."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.engine import PREFIX
from dockwright.paths import project_hash
from dockwright.pool import RetainedStacks, remove, survey
from tests._support.engine.scratch import SCRATCH
from tests._support.owned import leftovers
from tests._support.project import LEAN

if TYPE_CHECKING:
    from dockwright.engine import Engine

# What init would do for PID 1 is done by the shell: TERM ends it at once.
COMPOSE = f"""
services:
  web:
    image: {SCRATCH}
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        mkdir -p /data/www; echo hello > /data/www/index.html
        echo web is up
        httpd -p 8000 -h /data/www
        while :; do sleep 0.1; done
    ports: ["8000"]
    volumes: ["data:/data"]
    healthcheck:
      test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1:8000/index.html"]
      interval: 10s
volumes:
  data: {{}}
"""

TIMEOUT_S = 100


def clean_environment(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    """Take away what the outer run's environment would tell the inner one."""
    for name in list(os.environ):
        if name.startswith(("DOCKWRIGHT_", "COMPOSE_", "PYTEST_")) or name == "CI":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_ADDOPTS", LEAN)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("DOCKWRIGHT_WAIT_FOR_REMOVAL", "1")  # tests count what is left


@dataclass(frozen=True, slots=True)
class Suite:
    """A directory with a Compose file and tests.

    Attributes:
        pytester: makes files and runs pytest.
        engine: where the stacks run.
    """

    pytester: pytest.Pytester
    engine: Engine

    @property
    def path(self) -> Path:
        """The suite's root directory."""
        return self.pytester.path

    def write(self, name: str, text: str) -> Path:
        """Write a file of the suite."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        return file

    def compose(self, name: str = "compose.yaml", text: str = COMPOSE) -> Path:
        """Write a Compose file; by default one of a single web server with a volume."""
        return self.write(name, text)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in a process of its own; tests run in the order of the files."""
        return self.pytester.runpytest_subprocess(
            "-p", "no:randomly", *arguments, timeout=TIMEOUT_S
        )

    def passes(self, *arguments: str, **outcomes: int) -> pytest.RunResult:
        """Run pytest, check how many tests ended how, and that nothing is left."""
        result = self.run(*arguments)
        result.assert_outcomes(**outcomes)
        assert self.left() == []
        return result

    def left(self) -> list[str]:
        """Name what is left of the suite on the engine."""
        return leftovers(self.engine, {f"{PREFIX}project": project_hash(self.path)})

    def remove(self) -> None:
        """Remove what is left, whoever owns it."""
        kept = RetainedStacks(self.path / "nothing is kept here")
        mine = project_hash(self.path)
        remove(
            self.engine,
            [each for each in survey(self.engine, kept) if each.ownership.project == mine],
            kept,
        )


def output(result: pytest.RunResult) -> str:
    """Return all that a run printed."""
    return "\n".join([*result.outlines, *result.errlines])
