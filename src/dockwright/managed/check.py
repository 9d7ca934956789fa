"""Checks that one stack can run as its project declares it; changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from dockwright.engine import Engine, parallel
from dockwright.errors import ComposeError, DockwrightError
from dockwright.managed.home import ConfigHome
from dockwright.model import Build, ServiceSpec, StackSpec
from dockwright.paths import state_directory
from dockwright.stack import COMPOSE_PROJECT, Identity, engine_warnings, require_runnable

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


_INSTALL = "`dockwright stack install` makes them up"


def check_configuration(
    spec: StackSpec, home: ConfigHome, variables: Mapping[str, str]
) -> Iterator[Finding]:
    """Check what can be seen without an engine: files, their modes, and the secrets.

    Args:
        spec: the project.
        home: its config directory.
        variables: those that the project was loaded with.
    """
    files = ", ".join(str(file) for file in spec.files)
    yield Finding("configuration", "ok", f"{spec.name} from {files}")
    for each in spec.warnings:
        yield Finding("configuration", "warn", str(each), "change it, or live without it")
    yield from _check_home(home)
    yield from _check_secrets(spec, variables)
    yield check_state(state_directory())


def check_stack(spec: StackSpec, engine: Engine, identity: Identity) -> Iterator[Finding]:
    """Check what the stack needs of its engine: ports, images, and the engine itself."""
    yield from engine_findings(engine)
    for each in engine_warnings(spec, engine.version()):
        yield Finding("engine", "warn", str(each), "use a newer engine, or live without it")
    try:
        require_runnable(spec, list(spec.services), engine)
    except ComposeError as failure:
        yield Finding("services", "fail", failure.message, failure.hint or "change it")
    yield from _check_ports(spec, engine, identity)
    yield from parallel.run(
        [partial(_check_image, spec, service, engine) for service in spec.services.values()]
    )


def _check_home(home: ConfigHome) -> Iterator[Finding]:
    if home.settings() is None:
        yield Finding("installed", "ok", f"not installed (nothing in {home.directory})")
        return
    loose = home.loose()
    if loose:
        names = ", ".join(str(path) for path in loose)
        remedy = "`dockwright stack install` takes other users' rights away"
        yield Finding("installed", "warn", f"other users have rights on {names}", remedy)
    else:
        yield Finding("installed", "ok", str(home.directory))


def _check_secrets(spec: StackSpec, variables: Mapping[str, str]) -> Iterator[Finding]:
    if not spec.secrets:
        return
    unset = [name for name in spec.secrets if not variables.get(name)]
    if unset:
        yield Finding("secrets", "fail", f"not set: {', '.join(unset)}", _INSTALL)
    else:
        yield Finding("secrets", "ok", f"set: {', '.join(spec.secrets)}")


@dataclass(frozen=True, slots=True)
class _Port:
    """A port of the host that a service publishes."""

    service: str
    host: str
    number: int
    protocol: str

    def __str__(self) -> str:
        return f"port {self.number}/{self.protocol}"


def _check_ports(spec: StackSpec, engine: Engine, identity: Identity) -> Iterator[Finding]:
    holders = engine.list_containers({}, all=False)
    for port in _published(spec):
        taker = next((each for each in holders if _holds(each, port)), None)
        if taker is not None and taker["Labels"].get(COMPOSE_PROJECT) == identity.project:
            yield Finding(str(port), "ok", f"for {port.service}: held by this stack")
        elif taker is not None:
            name = taker["Names"][0].lstrip("/")
            detail = f"for {port.service}: taken by container {name}"
            yield Finding(str(port), "fail", detail, f"stop {name}, or publish another port")
        elif engine.endpoint.is_local and _is_taken(port):
            remedy = f"end it (`ss -lnp 'sport = :{port.number}'` tells), or publish another port"
            detail = f"for {port.service}: taken by a process on this host"
            yield Finding(str(port), "fail", detail, remedy)
        else:
            yield Finding(str(port), "ok", f"for {port.service}: free")


def _published(spec: StackSpec) -> Iterator[_Port]:
    for name, service in spec.services.items():
        for port in service.ports:
            if port.published.isdecimal() and port.published != "0":
                yield _Port(name, port.host_ip, int(port.published), port.protocol)


def _holds(container: Mapping[str, Any], port: _Port) -> bool:
    return any(
        each.get("PublicPort") == port.number
        and each.get("Type") == port.protocol
        and _overlap(str(each.get("IP") or ""), port.host)
        for each in container.get("Ports") or ()
    )


def _overlap(one: str, other: str) -> bool:
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - the engine's words
    return one == other or one in everywhere or other in everywhere


def _is_taken(port: _Port) -> bool:
    """Tell whether a process of this host listens there."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}.get(port.protocol)
    if kind is None:
        return False
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if port.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the engine's proxy
        try:
            probe.bind((port.host, port.number))
        except OSError as failure:
            # Ports below 1024 may be the engine's alone; an address may exist on its side only.
            return failure.errno == errno.EADDRINUSE
    return False


def _check_image(spec: StackSpec, service: ServiceSpec, engine: Engine) -> Finding:
    name = f"image of {service.name}"
    reference, policy = spec.image_of(service.name), service.pull_policy
    if service.build is not None and service.is_built:
        return _check_build(name, reference, service.build)
    if policy != "always" and engine.has_image(reference):
        return Finding(name, "ok", f"{reference} is here")
    if policy == "never":
        remedy = f"build or load {reference} first: its pull_policy is never"
        return Finding(name, "fail", f"{reference} is not on the engine", remedy)
    if engine.version().kind == "podman":  # it cannot be asked what a registry has
        return Finding(name, "warn", f"{reference} is not here yet", "it is pulled at the start")
    try:
        digest = engine.remote_digest(reference)
    except DockwrightError as failure:
        return Finding(name, "fail", failure.message, failure.hint or "check the image's name")
    return Finding(name, "ok", f"{reference} can be pulled ({digest[:19]})")


def _check_build(name: str, reference: str, build: Build) -> Finding:
    context = build.context
    dockerfile = context / (build.dockerfile or "Dockerfile")
    remedy = "check `build:` in the Compose file"
    if not context.is_dir():
        return Finding(name, "fail", f"{reference}: the context {context} is no directory", remedy)
    if build.dockerfile_inline is None:
        with suppress(OSError), dockerfile.open("rb"):
            return Finding(name, "ok", f"{reference} can be built from {dockerfile}")
        return Finding(name, "fail", f"{reference}: {dockerfile} cannot be read", remedy)
    return Finding(name, "ok", f"{reference} can be built")
