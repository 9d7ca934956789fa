"""What a check found, and the checks of an engine and its host that every command shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from dockwright.engine import Engine
from dockwright.errors import DockwrightError

Status = Literal["ok", "warn", "fail"]

_OLDEST_API = (1, 41)  # Docker 20.10
_LITTLE_SPACE_BYTES = 5 << 30
_NO_SPACE_BYTES = 1 << 30
_LITTLE_STATE_BYTES = 256 << 20

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


def unusable(failure: DockwrightError, name: str = "engine", remedy: str = "") -> Finding:
    """Return the finding for what cannot be used at all, e.g. an engine that does not answer.

    Args:
        failure: why.
        name: what was looked at.
        remedy: what to do about it where the failure does not say.
    """
    return Finding(name, "fail", failure.message, failure.hint or remedy)


def engine_findings(engine: Engine) -> Iterator[Finding]:
    """Check an engine that answers: its version, rights, disk and address pools."""
    info = engine.info()
    yield _check_version(engine)
    yield Finding("permission", "ok", "this user may use the engine")
    yield _check_disk(engine, info)
    yield _check_networks(engine, info)


def check_state(directory: Path) -> Finding:
    """Check the directory that keeps what outlives a run: it can be written, and has room."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=directory):
            pass
        free = shutil.disk_usage(directory).free
    except OSError as failure:
        return Finding(
            "state directory",
            "fail",
            f"{directory} cannot be written: {failure.strerror}",
            "make it writable for this user, or set XDG_STATE_HOME to a directory that is",
        )
    if free < _LITTLE_STATE_BYTES:
        detail = f"{free / 1e6:.0f} MB free in {directory}"
        return Finding("state directory", "warn", detail, "free space on its file system")
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
    if not engine.endpoint.url.startswith("unix://") or not _is_there(directory):
        return Finding("disk", "ok", "not known: the engine's data is not on this host")
    free = shutil.disk_usage(directory).free
    detail = f"{free / 1e9:.1f} GB free in {directory}"
    remedy = "free space: `docker system df` tells what uses it"
    if free < _NO_SPACE_BYTES:
        return Finding("disk", "fail", detail, remedy)
    return Finding("disk", "warn" if free < _LITTLE_SPACE_BYTES else "ok", detail, remedy)


def _is_there(directory: Path) -> bool:
    return os.access(directory, os.F_OK)


def _check_networks(engine: Engine, info: dict[str, Any]) -> Finding:
    bridges = [each for each in engine.list_networks({}) if each.get("Driver") == "bridge"]
    room = _room(info.get("DefaultAddressPools") or [])
    noun = "bridge network" if len(bridges) == 1 else "bridge networks"
    detail = f"{len(bridges)} {noun} of about {room} that the address pools allow"
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
