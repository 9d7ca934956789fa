"""What ``dockwright doctor`` looks at: each check gives one finding, with a remedy if it is bad."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dockwright.engine import Engine
from dockwright.lifecycle import Finding, check_state, engine_findings
from dockwright.pool import KeptStacks, survey

_OLDEST_PYTEST = 8
_COMMAND_TIMEOUT_S = 10.0


def check_host(state: Path) -> Iterator[Finding]:
    """Check what can be seen without an engine."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield _check_pytest()
    yield Finding("pytest-xdist", "ok", _version("pytest-xdist") or "not installed (for -n N)")
    yield Finding("docker SDK", "ok", importlib.metadata.version("docker"))
    yield from _check_docker_command()
    yield check_state(state)


def check_engine(engine: Engine, kept: KeptStacks) -> Iterator[Finding]:
    """Check an engine that answers."""
    yield from engine_findings(engine)
    yield from _check_copies(engine, kept)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_pytest() -> Finding:
    version = _version("pytest")
    if version is None or int(version.split(".")[0]) < _OLDEST_PYTEST:
        remedy = f"pip install 'pytest>={_OLDEST_PYTEST}'"
        return Finding("pytest", "fail", version or "not installed", remedy)
    return Finding("pytest", "ok", version)


def _check_docker_command() -> Iterator[Finding]:
    """Tell of the docker command and its plugins; dockwright works without all of them."""
    if shutil.which("docker") is None:
        yield Finding("docker command", "ok", "not installed (not needed)")
        return
    yield Finding("docker command", "ok", _answer("docker", "--version") or "does not work")
    yield Finding(
        "buildx",
        "ok",
        _answer("docker", "buildx", "version")
        or "not installed (needed only to build Dockerfiles with BuildKit's syntax)",
    )
    compose = _answer("docker", "compose", "version")
    yield Finding("compose plugin", "ok", compose or "not installed (not needed)")


def _answer(*command: str) -> str:
    """Return the first line that a command prints; an empty text where it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else ""


def _check_copies(engine: Engine, kept: KeptStacks) -> Iterator[Finding]:
    removable = [estate for estate in survey(engine, kept) if estate.removable]
    dead = [estate.project for estate in removable if not estate.kept]
    spared = [estate.project for estate in removable if estate.kept]
    if dead:
        remedy = "dockwright clean --all-projects"
        yield Finding("leftovers", "warn", f"of dead runs: {', '.join(dead)}", remedy)
    else:
        yield Finding("leftovers", "ok", "none")
    if spared:
        yield Finding("kept stacks", "warn", ", ".join(spared), "dockwright clean --kept")
