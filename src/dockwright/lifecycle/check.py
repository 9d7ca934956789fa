"""Checks that one stack can run as its project declares it; changes nothing."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from dockwright.engine import Engine, parallel
from dockwright.errors import ComposeError, DockwrightError
from dockwright.lifecycle.findings import Finding, check_state, engine_findings
from dockwright.lifecycle.home import ConfigHome
from dockwright.model import Json, ServiceSpec, StackSpec
from dockwright.places import state_directory
from dockwright.stack import COMPOSE_PROJECT, Identity, engine_warnings, require_runnable

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
        for entry in cast("Sequence[Mapping[str, Json]]", service.config.get("ports") or ()):
            number = str(entry.get("published") or "")
            if number.isdecimal() and number != "0":
                host, protocol = str(entry.get("host_ip") or ""), entry.get("protocol") or "tcp"
                yield _Port(name, host, int(number), str(protocol))


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
    reference = service.image or f"{spec.name}-{service.name}"
    policy = service.config.get("pull_policy")
    build = cast("Mapping[str, Json] | None", service.config.get("build"))
    if build is not None and policy not in ("always", "never"):
        return _check_build(name, reference, build)
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


def _check_build(name: str, reference: str, build: Mapping[str, Json]) -> Finding:
    context = Path(str(build["context"]))
    dockerfile = context / str(build.get("dockerfile") or "Dockerfile")
    remedy = "check `build:` in the Compose file"
    if not context.is_dir():
        return Finding(name, "fail", f"{reference}: the context {context} is no directory", remedy)
    if build.get("dockerfile_inline") is None:
        with suppress(OSError), dockerfile.open("rb"):
            return Finding(name, "ok", f"{reference} can be built from {dockerfile}")
        return Finding(name, "fail", f"{reference}: {dockerfile} cannot be read", remedy)
    return Finding(name, "ok", f"{reference} can be built")
