"""Creates one copy's networks, volumes and containers, in batches."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from dockwright.engine import Engine, parallel
from dockwright.engine.overlays import VolumeAccess
from dockwright.errors import ComposeError, ComposeUnsupportedError
from dockwright.model import GivenFile, Port, ServiceSpec, StackSpec
from dockwright.reset import disposable_servers
from dockwright.stack.addresses import Addresses
from dockwright.stack.container_config import (
    BodyContext,
    anonymous_targets,
    container_body,
    has_own_ports,
    tmpfs_targets,
)
from dockwright.stack.engine_needs import require_engine
from dockwright.stack.host_ports import HostPorts
from dockwright.stack.images import ReadyImage
from dockwright.stack.naming import (
    COMPOSE_PROJECT,
    COMPOSE_VOLUME,
    Identity,
    Names,
    guests_of,
    references,
)

_NETWORK_KEYS = {
    "driver": "Driver",
    "driver_opts": "Options",
    "internal": "Internal",
    "attachable": "Attachable",
    "enable_ipv4": "EnableIPv4",
    "enable_ipv6": "EnableIPv6",
}


_BRIDGE_NAME = "com.docker.network.bridge.name"  # the host has each interface once
_HELD = "/files"


@dataclass(frozen=True, slots=True)
class Creator:
    """Creates the resources of one copy.

    Attributes:
        engine: where.
        spec: of the stack.
        identity: of the copy.
        addresses: if they say that this host cannot reach containers, exposed ports are published
            as well.
        host_ports: those of an isolated copy.
        layered: the driver options of volumes that are layers above a baseline, by name.
    """

    engine: Engine
    spec: StackSpec
    identity: Identity
    addresses: Addresses
    host_ports: HostPorts
    layered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "names", Names(self.spec, self.identity.project, self.identity.isolated)
        )

    def networks_and_volumes(self, existing: Existing) -> None:
        """Create the networks and volumes that the enabled services use and that are not there."""
        tasks: dict[str, Callable[[], object]] = {}  # by name: two keys may have the same one
        for key, declared in self.spec.section("networks").items():
            name = self.names.network(key)
            if not declared.get("external") and name not in existing.networks:
                body = self._network(key, declared)
                tasks.setdefault(f"network {name}", _call(self.engine.create_network, name, body))
        for key, declared in self.spec.section("volumes").items():
            name = self.names.volume(key)
            if not declared.get("external") and name not in existing.volumes:
                body = self._volume(key, declared)
                tasks.setdefault(f"volume {name}", _call(self.engine.create_volume, name, body))
        parallel.run(list(tasks.values()))

    def volumes_of(self, service: ServiceSpec, image: ReadyImage) -> dict[str, str]:
        """Return the engine's names of the volumes that this copy owns, by mount target."""
        named = {
            mount.target: self.names.volume(mount.source)
            for mount in service.mounts
            if mount.is_named_volume and not self.spec.is_external("volumes", mount.source)
        }
        return named | self._anonymous(service, image)

    def anonymous_volume(self, service: str, target: str) -> str:
        """Return the name of a service's volume that the file gives none.

        A long-lived stack keeps the volume that it has, whatever an earlier version called it.
        """
        label = {COMPOSE_VOLUME: f"{service}:{target}"}
        if not self.identity.isolated:
            for found in self.engine.list_volumes(self.identity.selector() | label):
                return str(found["Name"])
        return self.names.anonymous_volume(service, target)

    def _anonymous(self, service: ServiceSpec, image: ReadyImage) -> dict[str, str]:
        return {
            target: self.anonymous_volume(service.name, target)
            for target in anonymous_targets(service, image.volumes)
        }

    def container(self, service: ServiceSpec, image: ReadyImage) -> str:
        """Create the service's container, with its volumes, networks and files; return its id."""
        anonymous = self._anonymous(service, image)
        for target, volume in anonymous.items():
            labels = self.identity.volume_labels(f"{service.name}:{target}")
            options = self.layered.get(volume, {})
            self.engine.create_volume(volume, {"Labels": labels, "DriverOpts": options})
        files = list(_contents(self.spec, service))
        sealed = bool(files) and _takes_mounts_only(service, files)
        context = BodyContext(
            names=self.names,
            image=image.reference,
            labels=self.identity.container_labels(self.spec, service.name),
            anonymous=anonymous,
            host_ports=self.host_ports.of(service.name, self._published(service)),
            guests=guests_of(self.spec, service.name),
            mounts=self._bound_files(service, image, files) if sealed else (),
        )
        body = container_body(service, context)
        for mount in body["HostConfig"].get("Mounts", ()):
            if mount.get("Source") in self.layered:  # the baseline, and nothing of the image
                mount["VolumeOptions"] = {"NoCopy": True}
        container = self.engine.create_container(
            self.names.container(service.name),
            without_fsync(body, service, image, self.names),
            platform=service.platform,
        )
        if files and not sealed:
            content = _tar({file.given.target.lstrip("/"): file for file in files})
            self.engine.archive_in(container, "/", content)
        return container

    def move_ports(self, service: ServiceSpec) -> bool:
        """Choose other host ports for a service; False: they are declared, and have to be those."""
        return self.identity.isolated and self.host_ports.move(
            service.name, self._published(service)
        )

    def _published(self, service: ServiceSpec) -> list[Port]:
        """Return what a service's container publishes in an isolated copy, also for its guests."""
        if not (self.identity.isolated and has_own_ports(service)):
            return []
        sharers = (service, *guests_of(self.spec, service.name))
        ports = [port for each in sharers for port in each.ports]
        if not self.addresses.containers_reachable:
            ports += [port for each in sharers for port in each.exposed]
        return ports

    def _bound_files(
        self, service: ServiceSpec, image: ReadyImage, files: Sequence[_File]
    ) -> tuple[Any, ...]:
        """Return mounts of given files, for a container into which they cannot be written.

        A volume has the files, and each is bound to its target. A container that is never started
        fills the volume. Other content has other paths: an update may have to go back.
        """
        name = self.names.files(service.name)
        digest = hashlib.sha256(repr(files).encode()).hexdigest()[:12]
        paths = {f"{digest}-{number}": file for number, file in enumerate(files)}
        self.engine.create_volume(name, {"Labels": self.identity.labels()})
        labels = self.identity.labels() | {COMPOSE_PROJECT: f"{self.identity.project}-helper"}
        door = VolumeAccess(self.engine, image.reference, image.volumes, labels)
        with door.open(name, {_HELD: name}) as container:
            self.engine.archive_in(container, _HELD, _tar(paths))
        root = self.engine.inspect_volume(name)["Mountpoint"]
        return tuple(
            {
                "Type": "bind",
                "Source": f"{root}/{path}",
                "Target": file.given.target,
                "ReadOnly": True,
            }
            for path, file in paths.items()
        )

    def _network(self, key: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {
            api: declared[name]
            for name, api in _NETWORK_KEYS.items()
            if declared.get(name) is not None
        }
        if self.identity.isolated:
            options = declared.get("driver_opts") or {}
            body["Options"] = {name: options[name] for name in options if name != _BRIDGE_NAME}
        body["Labels"] = {**(declared.get("labels") or {}), **self.identity.network_labels(key)}
        body["CheckDuplicate"] = True
        ipam = declared.get("ipam")
        # Two copies with the same subnet cannot live side by side: isolated ones take any.
        if ipam and not self.identity.isolated:
            body["IPAM"] = _ipam(ipam)
        return body

    def _volume(self, key: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "Driver": declared.get("driver") or "local",
            "DriverOpts": self.layered.get(
                self.names.volume(key), declared.get("driver_opts") or {}
            ),
            "Labels": {**(declared.get("labels") or {}), **self.identity.volume_labels(key)},
        }


@dataclass(frozen=True, slots=True)
class Existing:
    """The names of this copy's networks and volumes that are already on the engine."""

    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()


def without_fsync(
    body: Mapping[str, Any], service: ServiceSpec, image: ReadyImage, names: Names
) -> dict[str, Any]:
    """Return a container's body with a server that does not wait for the disk, if that is safe.

    It is in a disposable copy, unless the service says ``durable: true`` or may write to something
    that outlives the copy.
    """
    changed = dict(body)
    if names.isolated and not service.durable and not _keeps_data(service, names):
        for server in disposable_servers():
            changed = server.without_fsync(changed, image.config)
    return changed


def _keeps_data(service: ServiceSpec, names: Names) -> bool:
    """Return whether a service may write to something that does not belong to this copy alone."""
    return any(
        (mount.kind == "bind" and not mount.read_only)
        or (mount.kind == "volume" and names.spec.is_external("volumes", mount.source))
        for mount in service.mounts
    ) or bool(service.volumes_from)


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _ipam(declared: Mapping[str, Any]) -> dict[str, Any]:
    keys = {
        "subnet": "Subnet",
        "ip_range": "IPRange",
        "gateway": "Gateway",
        "aux_addresses": "AuxiliaryAddresses",
    }
    return {
        "Driver": declared.get("driver") or "default",
        "Config": [
            {keys[key]: value for key, value in pool.items() if key in keys}
            for pool in declared.get("config") or ()
        ],
        "Options": declared.get("options") or {},
    }


@dataclass(frozen=True, slots=True)
class _File:
    """A config or secret that is given by its content, with what is in it."""

    given: GivenFile
    content: bytes


def injected_targets(spec: StackSpec, service: str) -> list[str]:
    """Return where a service's container has the configs and secrets that no mount brings."""
    files = list(_contents(spec, spec.services[service]))
    if _takes_mounts_only(spec.services[service], files):
        return []
    return [file.given.target for file in files]


def _takes_mounts_only(service: ServiceSpec, files: Sequence[_File]) -> bool:
    """Return whether files cannot be written into the container, or would be hidden there."""
    hidden = [PurePosixPath(target) for target in tmpfs_targets(service)]
    return service.read_only or any(
        place in PurePosixPath(file.given.target).parents for file in files for place in hidden
    )


def _tar(files: Mapping[str, _File]) -> bytes:
    """Return a tar of files by their paths in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(file.content)
            member.mode, member.uid, member.gid = file.given.mode, file.given.uid, file.given.gid
            member.mtime = int(time.time())
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def _contents(spec: StackSpec, service: ServiceSpec) -> Iterable[_File]:
    for given in service.files:
        if given.content is not None:
            yield _File(given, given.content.encode())
        elif given.variable is not None:
            yield _File(given, spec.contents.get(given.variable, "").encode())


def require_runnable(spec: StackSpec, services: Sequence[str], engine: Engine) -> None:
    """Refuse services of a stack for what only a start notices.

    Raises:
        ComposeError: a variable that a file is made from is not set.
        ComposeUnsupportedError: right Compose that cannot be run here; names its place in the file.
    """
    require_engine(spec, services, engine.version())
    for name in services:
        service = spec.services[name]
        _require_given_files(spec, service)
        _require_directory(service)
        _require_absolute_targets(service)


def sole_reason(spec: StackSpec) -> str:
    """Return why two copies of a stack cannot run side by side; empty: they can."""
    for key, network in spec.section("networks").items():
        if network.get("external"):
            return f"services of two copies would have the same names in the external network {key}"
        if "parent" in (network.get("driver_opts") or {}):
            return f"network {key} takes an interface of the host (`parent`) for itself"
    for name, service in spec.services.items():
        mode = service.network_mode
        if mode == "host":
            return f"service {name} is in the host's network, where each port exists only once"
        if mode.startswith("container:") and references(spec).shared(mode) is None:
            return f"service {name} is in the network of a container outside the project ({mode})"
        for mount in service.mounts:
            external = mount.kind == "volume" and spec.is_external("volumes", mount.source)
            if external and not mount.read_only:
                return f"service {name} may write to the external volume {mount.source}"
    return ""


def _require_given_files(spec: StackSpec, service: ServiceSpec) -> None:
    for file in service.files:
        if file.variable and file.variable not in spec.contents:
            raise ComposeError(
                f"service {service.name} needs the {file.kind} {file.source!r}, "
                f"but the variable {file.variable} that it is made from is not set",
                path=f"{file.kind}s.{file.source}.environment",
                hint=f"set {file.variable} in the environment or in .env",
            )
        if file.external:
            raise ComposeUnsupportedError(
                f"external {file.kind} {file.source!r} needs a swarm, "
                "which dockwright does not support",
                path=f"{file.kind}s.{file.source}",
                hint="use `file`, `environment` or `content` instead",
            )


def _require_directory(service: ServiceSpec) -> None:
    # The loader makes paths absolute: what is not absolute is a URL.
    if service.build is not None and not service.build.context.is_absolute():
        context = service.config["build"].get("context", "")
        raise ComposeUnsupportedError(
            f"the build context {context} is on another machine; dockwright builds from "
            "directories only",
            path=f"services.{service.name}.build.context",
            hint="clone or unpack it and name the directory, or build the image beforehand and "
            "name it with `image:` alone",
        )


def _require_absolute_targets(service: ServiceSpec) -> None:
    for mount in service.mounts:
        if not (mount.target or "/").startswith("/"):
            raise ComposeUnsupportedError(
                f"{mount.target!r} is not an absolute path in a container",
                path=f"services.{service.name}.volumes",
                hint="a single letter before the colon is read as a Windows drive, as Compose "
                "does: give the volume a longer name, or use `source:` and `target:`",
            )
