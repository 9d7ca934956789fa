"""Checks that a stack can run as its project declares it; changes nothing."""

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


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: ``ok``, ``warn`` (works, but may cause problems) or ``fail`` (stacks cannot run).
        detail: what was found.
        remedy: what to do about it; may be empty if nothing needs to be done.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def unusable(failure: DockwrightError, name: str = "engine", remedy: str = "") -> Finding:
    """Return the finding for something that cannot be used at all, e.g. an engine without answer.

    Args:
        failure: why.
        name: what was checked.
        remedy: what to do about it, if the failure does not say.
    """
    return Finding(name, "fail", failure.message, failure.hint or remedy)


def engine_findings(engine: Engine) -> Iterator[Finding]:
    """Check an engine that answers: its version, rights, disk and address pools."""
    info = engine.info()
    yield _check_version(engine)
    yield Finding("permission", "ok", "this user can access the engine")
    yield _check_disk(engine, info)
    yield _check_networks(engine, info)


def check_state(directory: Path) -> Finding:
    """Check that the directory for what outlives a run is writable and has free space."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=directory):
            pass
        free = shutil.disk_usage(directory).free
    except OSError as failure:
        return Finding(
            "state directory",
            "fail",
            f"cannot write to {directory}: {failure.strerror}",
            "make it writable for this user, or set XDG_STATE_HOME to a writable directory",
        )
    if free < _LITTLE_STATE_BYTES:
        detail = f"{free / 1e6:.0f} MB free in {directory}"
        return Finding("state directory", "warn", detail, "free some space on its file system")
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
        return Finding("engine", "fail", detail, "switch it to Linux containers")
    return Finding("engine", "ok", detail)


def _check_disk(engine: Engine, info: dict[str, Any]) -> Finding:
    directory = Path(str(info.get("DockerRootDir") or "/nonexistent"))
    if not engine.endpoint.url.startswith("unix://") or not _is_there(directory):
        return Finding("disk", "ok", "unknown: the engine's data is not on this host")
    free = shutil.disk_usage(directory).free
    detail = f"{free / 1e9:.1f} GB free in {directory}"
    remedy = "free some space; `docker system df` shows what uses it"
    if free < _NO_SPACE_BYTES:
        return Finding("disk", "fail", detail, remedy)
    return Finding("disk", "warn" if free < _LITTLE_SPACE_BYTES else "ok", detail, remedy)


def _is_there(directory: Path) -> bool:
    return os.access(directory, os.F_OK)


def _check_networks(engine: Engine, info: dict[str, Any]) -> Finding:
    bridges = [found for found in engine.list_networks({}) if found.get("Driver") == "bridge"]
    pools = info.get("DefaultAddressPools")
    most = _most_networks(pools) if pools else engine.can.default_networks
    detail = f"{len(bridges)} of about {most} bridge networks that the address pools allow"
    remedy = (
        "remove unused networks (`docker network ls`, or `dockwright clean` for those of test "
        "runs), or give the engine more or larger address pools (Docker: "
        '"default-address-pools" in daemon.json; Podman: "default_subnet_pools" in containers.conf)'
    )
    if len(bridges) >= most:
        return Finding("networks", "fail", detail, remedy)
    return Finding("networks", "warn" if len(bridges) > most * 0.8 else "ok", detail, remedy)


def _most_networks(pools: Sequence[dict[str, Any]]) -> int:
    """Return how many networks fit into the engine's address pools."""
    return sum(2 ** max(0, pool["Size"] - ip_network(pool["Base"]).prefixlen) for pool in pools)


_INSTALL = "generate them with `dockwright stack install`"


def check_configuration(
    spec: StackSpec, home: ConfigHome, variables: Mapping[str, str]
) -> Iterator[Finding]:
    """Check what does not need an engine: files, their modes, and the secrets.

    Args:
        spec: the project.
        home: its config directory.
        variables: the variables that the project was loaded with.
    """
    files = ", ".join(str(file) for file in spec.files)
    yield Finding("configuration", "ok", f"{spec.name} from {files}")
    for warning in spec.warnings:
        remedy = "change the Compose file, or do without this feature"
        yield Finding("configuration", "warn", str(warning), remedy)
    yield from _check_home(home)
    yield from _check_secrets(spec, variables)
    yield check_state(state_directory())


def check_stack(spec: StackSpec, engine: Engine, identity: Identity) -> Iterator[Finding]:
    """Check what the stack needs from its engine: ports, images, and the engine itself."""
    yield from engine_findings(engine)
    for warning in engine_warnings(spec, engine.version()):
        remedy = "use a newer engine, or do without this feature"
        yield Finding("engine", "warn", str(warning), remedy)
    try:
        require_runnable(spec, list(spec.services), engine)
    except ComposeError as failure:
        remedy = failure.hint or "change the Compose file"
        yield Finding("services", "fail", failure.message, remedy)
    yield from _check_ports(spec, engine, identity)
    yield from parallel.run(
        [partial(_check_image, spec, service, engine) for service in spec.services.values()]
    )


def _check_home(home: ConfigHome) -> Iterator[Finding]:
    if home.settings() is None:
        yield Finding("installed", "ok", f"not installed (no settings in {home.directory})")
        return
    loose = home.loose()
    if loose:
        names = ", ".join(str(path) for path in loose)
        remedy = "`dockwright stack install` removes these permissions"
        yield Finding("installed", "warn", f"other users have permissions for {names}", remedy)
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
    containers = engine.list_containers({}, all=False)
    for port in _published(spec):
        holder = next((found for found in containers if _publishes(found, port)), None)
        if holder is not None and holder["Labels"].get(COMPOSE_PROJECT) == identity.project:
            yield Finding(str(port), "ok", f"for {port.service}: in use by this stack")
        elif holder is not None:
            name = holder["Names"][0].lstrip("/")
            detail = f"for {port.service}: in use by container {name}"
            yield Finding(str(port), "fail", detail, f"stop {name}, or publish another port")
        elif engine.endpoint.is_local and _is_in_use(port):
            find = f"`ss -lnp 'sport = :{port.number}'` shows it"
            detail = f"for {port.service}: in use by a process on this host"
            yield Finding(
                str(port), "fail", detail, f"stop that process ({find}), or publish another port"
            )
        else:
            yield Finding(str(port), "ok", f"for {port.service}: free")


def _published(spec: StackSpec) -> Iterator[_Port]:
    for name, service in spec.services.items():
        for port in service.ports:
            if port.published.isdecimal() and port.published != "0":
                yield _Port(name, port.host_ip, int(port.published), port.protocol)


def _publishes(container: Mapping[str, Any], port: _Port) -> bool:
    return any(
        published.get("PublicPort") == port.number
        and published.get("Type") == port.protocol
        and _overlap(str(published.get("IP") or ""), port.host)
        for published in container.get("Ports") or ()
    )


def _overlap(first: str, second: str) -> bool:
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - as the engine writes them
    return first == second or first in everywhere or second in everywhere


def _is_in_use(port: _Port) -> bool:
    """Return whether a process on this host listens on the port."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}.get(port.protocol)
    if kind is None:
        return False
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if port.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the engine's proxy
        try:
            probe.bind((port.host, port.number))
        except OSError as failure:
            # Only the engine may use ports below 1024, and some addresses exist only on its side.
            return failure.errno == errno.EADDRINUSE
    return False


def _check_image(spec: StackSpec, service: ServiceSpec, engine: Engine) -> Finding:
    name = f"image of {service.name}"
    reference, policy = spec.image_of(service.name), service.pull_policy
    if service.build is not None and service.is_built:
        return _check_build(name, reference, service.build)
    if policy != "always" and engine.has_image(reference):
        return Finding(name, "ok", f"{reference} exists locally")
    if policy == "never":
        remedy = f"build or load {reference} first: its pull_policy is never"
        return Finding(name, "fail", f"{reference} is not on the engine", remedy)
    if not engine.can.asks_registries:
        detail = f"{reference} does not exist locally"
        return Finding(name, "warn", detail, "none needed if it can be pulled at the start")
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
        detail = f"{reference}: the build context {context} is not a directory"
        return Finding(name, "fail", detail, remedy)
    if build.dockerfile_inline is None:
        with suppress(OSError), dockerfile.open("rb"):
            return Finding(name, "ok", f"{reference} can be built from {dockerfile}")
        return Finding(name, "fail", f"{reference}: cannot read {dockerfile}", remedy)
    return Finding(name, "ok", f"{reference} can be built")
