"""The script that finds or fetches a Compose v2 to compare with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "ensure-compose"


def run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=100
    )


def with_command(directory: Path, name: str, version: str) -> str:
    """A PATH whose first directory has a Compose of some version."""
    command = directory / name
    command.write_text(f"#!/bin/sh\necho {version}\n")
    command.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def test_help_says_what_it_does() -> None:
    done = run("--help")

    assert done.returncode == 0
    assert "Debian 13's package docker-compose is fetched with apt" in done.stdout


def test_an_unknown_option_is_a_usage_error() -> None:
    assert run("--what").returncode == 2


def test_a_plugin_that_works_is_used(tmp_path: Path) -> None:
    done = run(path=with_command(tmp_path, "docker", "v2.29.1"))

    assert (done.returncode, done.stdout) == (0, "docker compose\n")
    assert "docker compose works" in done.stderr


def test_compose_1_is_not_used(tmp_path: Path) -> None:
    with_command(tmp_path, "docker-compose", "1.29.2")
    path = with_command(tmp_path, "docker", "nothing")

    assert run(path=path).stdout not in ("docker compose\n", "docker-compose\n")
