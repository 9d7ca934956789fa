"""What ``dockwright doctor`` looks at: each check gives one finding, with a remedy if it is bad."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from dockwright.cli._output import counted
from dockwright.engine import Engine
from dockwright.errors import DockwrightError
from dockwright.pool import KeptStacks, survey

Status = Literal["ok", "warn", "fail"]

_OLDEST_API = (1, 41)  # Docker 20.10
_OLDEST_PYTEST = 8
_LITTLE_SPACE_BYTES = 5 << 30
_NO_SPACE_BYTES = 1 << 30
_COMMAND_TIMEOUT_S = 10.0

# Docker's own default, where its daemon.json names no pools (docs.docker.com, "Default network
# address pools"): 172.17.0.0/16 to 172.31.0.0/16, and 192.168.0.0/16 in pieces of /20.
_DEFAULT_NETWORKS = 15 + 16


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was looked at.
        status: ``ok``, ``warn`` (works, but will hurt) or ``fail`` (stacks cannot run).
        detail: what was found.
        remedy: what to do about it; empty where nothing needs to be done.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def check_host(state: Path) -> Iterator[Finding]:
    """Check what can be seen without an engine."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield _check_pytest()
    yield Finding("pytest-xdist", "ok", _version("pytest-xdist") or "not installed (for -n N)")
    yield Finding("docker SDK", "ok", importlib.metadata.version("docker"))
    yield from _check_docker_command()
    yield _check_state(state)


def check_engine(engine: Engine, kept: KeptStacks) -> Iterator[Finding]:
    """Check an engine that answers."""
    info = engine.info()
    yield _check_version(engine)
    yield Finding("permission", "ok", "this user may use the engine")
    yield _check_disk(engine, info)
    yield _check_networks(engine, info)
    yield from _check_copies(engine, kept)


def unusable(failure: DockwrightError) -> Finding:
    """Return the finding for an engine that does not answer, or not to this user."""
    return Finding("engine", "fail", failure.message, failure.hint or "")


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


def _check_state(directory: Path) -> Finding:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as failure:
        return Finding(
            "state directory",
            "fail",
            f"{directory} cannot be written: {failure.strerror}",
            "make it writable for this user, or set XDG_STATE_HOME to a directory that is",
        )
    return Finding("state directory", "ok", str(directory))


def _check_version(engine: Engine) -> Finding:
    version = engine.version()
    detail = (
        f"{version.kind} {version.server}, API {version.api}, {version.os}/{version.arch}, "
        f"at {engine.endpoint.url} (from {engine.endpoint.source})"
    )
    if not version.api_at_least(".".join(str(part) for part in _OLDEST_API)):
        return Finding("engine", "fail", detail, "use Docker 20.10 (API 1.41) or newer")
    if version.os != "linux":
        return Finding("engine", "fail", detail, "switch the engine to Linux containers")
    return Finding("engine", "ok", detail)


def _check_disk(engine: Engine, info: dict[str, Any]) -> Finding:
    directory = Path(str(info.get("DockerRootDir") or "/nonexistent"))
    if not engine.endpoint.url.startswith("unix://") or not directory.exists():
        return Finding("disk", "ok", "not known: the engine's data is not on this host")
    free = shutil.disk_usage(directory).free
    detail = f"{free / 1e9:.1f} GB free in {directory}"
    remedy = "free space: `docker system df` tells what uses it"
    if free < _NO_SPACE_BYTES:
        return Finding("disk", "fail", detail, remedy)
    return Finding("disk", "warn" if free < _LITTLE_SPACE_BYTES else "ok", detail, remedy)


def _check_networks(engine: Engine, info: dict[str, Any]) -> Finding:
    bridges = [each for each in engine.list_networks({}) if each.get("Driver") == "bridge"]
    room = _room(info.get("DefaultAddressPools") or [])
    detail = (
        f"{counted(len(bridges), 'bridge network')} of about {room} that the address pools allow"
    )
    remedy = (
        "remove networks that nobody uses (`docker network ls`; `dockwright clean` for ours), or "
        'set "default-address-pools" in the engine\'s daemon.json'
    )
    if len(bridges) >= room:
        return Finding("networks", "fail", detail, remedy)
    return Finding("networks", "warn" if len(bridges) > room * 0.8 else "ok", detail, remedy)


def _room(pools: Sequence[dict[str, Any]]) -> int:
    """Return how many networks fit into the engine's address pools."""
    if not pools:
        return _DEFAULT_NETWORKS
    return sum(2 ** max(0, pool["Size"] - ip_network(pool["Base"]).prefixlen) for pool in pools)


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
