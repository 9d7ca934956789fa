"""Creates one copy's networks, volumes and containers, in batches."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import cast

from dockwright.engine import Engine, batch
from dockwright.model import Json, ServiceSpec, StackSpec
from dockwright.stack.addresses import Addresses
from dockwright.stack.body import BodyContext, container_body, endpoint_config, networks_of
from dockwright.stack.identity import Identity
from dockwright.stack.images import ReadyImage
from dockwright.stack.mounts import anonymous_targets, file_target, volume_entries
from dockwright.stack.names import Names
from dockwright.stack.unsynced import unsynced

_NETWORK_KEYS = {
    "driver": "Driver",
    "driver_opts": "Options",
    "internal": "Internal",
    "attachable": "Attachable",
    "enable_ipv6": "EnableIPv6",
}


@dataclass(frozen=True, slots=True)
class Creator:
    """Creates the resources of one copy.

    Attributes:
        engine: where.
        spec: of the stack.
        identity: of the copy.
        addresses: tells whether container addresses can be reached from here; if not, exposed
            ports are published as well.
    """

    engine: Engine
    spec: StackSpec
    identity: Identity
    addresses: Addresses
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "names", Names(self.spec, self.identity.project, self.identity.isolated)
        )

    def networks_and_volumes(self, existing: Existing) -> None:
        """Create the networks and volumes that the enabled services use and that are not there."""
        tasks: list[Callable[[], object]] = []
        for key, declared in self.names.declared("networks").items():
            name = self.names.network(key)
            if not declared.get("external") and name not in existing.networks:
                tasks.append(_call(self.engine.create_network, name, self._network(key, declared)))
        for key, declared in self.names.declared("volumes").items():
            name = self.names.volume(key)
            if not declared.get("external") and name not in existing.volumes:
                tasks.append(_call(self.engine.create_volume, name, self._volume(key, declared)))
        batch.run(tasks)

    def volumes_of(self, service: ServiceSpec, image: ReadyImage) -> dict[str, str]:
        """Return the engine's names of the volumes that this copy owns, by mount target."""
        named = {
            str(entry["target"]): self.names.volume(str(entry["source"]))
            for entry in volume_entries(service)
            if entry["type"] == "volume"
            and entry.get("source")
            and not self.names.is_external("volumes", str(entry["source"]))
        }
        return named | self._anonymous(service, image)

    def _anonymous(self, service: ServiceSpec, image: ReadyImage) -> dict[str, str]:
        return {
            target: self.names.anonymous_volume(service.name, target)
            for target in anonymous_targets(service, image.volumes)
        }

    def container(self, service: ServiceSpec, image: ReadyImage) -> str:
        """Create the service's container, with its volumes, networks and files; return its id."""
        anonymous = self._anonymous(service, image)
        for target, volume in anonymous.items():
            self.engine.create_volume(
                volume, {"Labels": self.identity.volume_labels(f"{service.name}:{target}")}
            )
        local = self.engine.endpoint.is_local
        context = BodyContext(
            names=self.names,
            image=image.reference,
            labels=self.identity.container_labels(self.spec, service.name),
            anonymous=anonymous,
            publish_host="127.0.0.1" if local else "",
            publish_exposed=self.identity.isolated and not self.addresses.containers_reachable,
        )
        platform = service.config.get("platform")
        body = container_body(service, context)
        container = self.engine.create_container(
            self.names.container(service.name),
            unsynced(body, service, image, self.names) if self.identity.isolated else body,
            platform=str(platform) if platform else None,
        )
        for key, declared in list(networks_of(service).items())[1:]:
            self.engine.connect_network(
                self.names.network(key), container, endpoint_config(service, declared, self.names)
            )
        content = _injected_files(self.spec, service)
        if content:
            self.engine.archive_in(container, "/", content)
        return container

    def _network(self, key: str, declared: Mapping[str, Json]) -> dict[str, Json]:
        body: dict[str, Json] = {
            api: declared[name]
            for name, api in _NETWORK_KEYS.items()
            if declared.get(name) is not None
        }
        own = cast("Mapping[str, str]", declared.get("labels") or {})
        body["Labels"] = {**own, **self.identity.network_labels(key)}
        body["CheckDuplicate"] = True
        ipam = cast("Mapping[str, Json]", declared.get("ipam") or {})
        # Two copies with the same subnet cannot live side by side: isolated ones take any.
        if ipam and not self.identity.isolated:
            body["IPAM"] = _ipam(ipam)
        return body

    def _volume(self, key: str, declared: Mapping[str, Json]) -> dict[str, Json]:
        own = cast("Mapping[str, str]", declared.get("labels") or {})
        return {
            "Driver": declared.get("driver") or "local",
            "DriverOpts": declared.get("driver_opts") or {},
            "Labels": {**own, **self.identity.volume_labels(key)},
        }


@dataclass(frozen=True, slots=True)
class Existing:
    """The names of this copy's networks and volumes that are already on the engine."""

    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _ipam(declared: Mapping[str, Json]) -> dict[str, Json]:
    pools = cast("Sequence[Mapping[str, Json]]", declared.get("config") or ())
    keys = {
        "subnet": "Subnet",
        "ip_range": "IPRange",
        "gateway": "Gateway",
        "aux_addresses": "AuxiliaryAddresses",
    }
    return {
        "Driver": declared.get("driver") or "default",
        "Config": [
            {keys[key]: value for key, value in pool.items() if key in keys} for pool in pools
        ],
        "Options": declared.get("options") or {},
    }


def injected_targets(spec: StackSpec, service: str) -> list[str]:
    """Return where a service's container has the configs and secrets that no mount brings."""
    return [target for target, _, _ in _contents(spec, spec.services[service])]


def _injected_files(spec: StackSpec, service: ServiceSpec) -> bytes:
    """Return a tar of the configs and secrets that are given by content, or nothing."""
    files = list(_contents(spec, service))
    if not files:
        return b""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for target, content, use in files:
            member = tarfile.TarInfo(str(PurePosixPath(target).relative_to("/")))
            member.size = len(content)
            member.mode = int(str(use.get("mode") or 0o444))
            member.uid, member.gid = (int(str(use.get(key) or 0)) for key in ("uid", "gid"))
            member.mtime = int(time.time())
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _contents(
    spec: StackSpec, service: ServiceSpec
) -> Iterable[tuple[str, bytes, Mapping[str, Json]]]:
    for kind in ("configs", "secrets"):
        declared = cast("Mapping[str, Mapping[str, Json]]", spec.document.get(kind) or {})
        for use in cast("Sequence[Mapping[str, Json]]", service.config.get(kind) or ()):
            source = str(use["source"])
            definition = declared.get(source) or {}
            if "content" in definition:
                yield file_target(kind, use), str(definition["content"]).encode(), use
            elif "environment" in definition:
                value = spec.contents.get(str(definition["environment"]), "")
                yield file_target(kind, use), value.encode(), use
