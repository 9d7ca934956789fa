"""The names and labels of everything that belongs to a stack."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dockwright.compose.references import References
from dockwright.engine import PREFIX, ownership_labels
from dockwright.model import Ownership, ServiceSpec, StackSpec

_PLAIN_TARGET = re.compile(r"(/[A-Za-z0-9_.]+)+")
_PLAIN_LENGTH = 200  # an engine keeps a volume in a directory of its name: 255 bytes at most

SET_ASIDE = "-set-aside"
"""The end of the name of a container whose successor has not proved itself yet."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names within one copy.

    Attributes:
        spec: the stack spec.
        project: the copy's own project name.
        isolated: whether other copies may run beside it: then declared fixed names
            (``container_name``, ``name:`` of networks and volumes) give way to derived ones.
            External networks and volumes always keep theirs.
    """

    spec: StackSpec
    project: str
    isolated: bool
    references: References = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "references", references(self.spec))

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        declared = self.spec.services[service].container_name
        if declared is not None and not self.isolated:
            return declared
        return f"{self.project}-{service}-1"

    def aliases(self, service: str) -> list[str]:
        """Return the names by which other services reach a service in the networks of this copy.

        Those of its container as the file knows it are among them, whatever this copy calls it.
        """
        known = self.spec.services[service].container_name or f"{self.spec.name}-{service}-1"
        return list(dict.fromkeys([self.container(service), service, known]))

    def shared(self, value: str) -> str:
        """Return a namespace such as ``service:db`` or ``container:NAME`` for the engine."""
        service = self.references.shared(value)
        return f"container:{self.container(service)}" if service else value

    def lender(self, value: str) -> str:
        """Return an entry of ``volumes_from`` for the engine."""
        service = self.references.lender(value)
        named = value.removeprefix("container:")
        _, colon, mode = named.partition(":")
        return f"{self.container(service)}{colon}{mode}" if service else named

    def external_link(self, value: str) -> str:
        """Return an entry of ``external_links``; its container may be a service of this copy."""
        container, _, alias = value.partition(":")
        service = self.references.called(container)
        return f"{self.container(service)}:{alias or container}" if service else value

    def network(self, key: str) -> str:
        """Return the engine's name of the network that the file calls `key`."""
        return self._resource("networks", key)

    def volume(self, key: str) -> str:
        """Return the engine's name of the volume that the file calls `key`."""
        return self._resource("volumes", key)

    def anonymous_volume(self, service: str, target: str) -> str:
        """Return the name given to a volume that has none, so that it can be found and rolled back.

        Anonymous volumes come from an image's ``VOLUME`` or a volume entry without a source. Each
        service and target has its own name: where plain words would be ambiguous, or an
        engine would not take them, a hash stands for both.
        """
        plain = f"{service}-anonymous-{'-'.join(target.strip('/').split('/'))}"
        if (
            _PLAIN_TARGET.fullmatch(target)
            and plain.count("anonymous") == 1
            and plain not in self.spec.section("volumes")
            and len(self.project) + len(plain) <= _PLAIN_LENGTH
        ):
            return f"{self.project}_{plain}"
        digest = hashlib.sha256(f"{service}:{target}".encode()).hexdigest()[:12]
        words = "-".join(re.findall(r"[A-Za-z0-9_.]+", target))[-40:]
        return f"{self.project}_{service}-anonymous.{digest}.{words or 'root'}"

    def files(self, service: str) -> str:
        """Return the name of the volume that holds the files given to a read-only service."""
        return f"{self.project}_{service}-files.given"

    def _resource(self, kind: Literal["networks", "volumes"], key: str) -> str:
        section = self.spec.section(kind)
        declared = section.get(key, {})
        name = declared.get("name")
        if isinstance(name, str) and (declared.get("external") or not self.isolated):
            return name
        # Two keys with one name mean one thing.
        same = (other for other, each in section.items() if each.get("name") == name)
        return f"{self.project}_{next(same, key) if name else key}"


def references(spec: StackSpec) -> References:
    """Return the references between the services of a stack."""
    return References(spec.name, {name: each.config for name, each in spec.services.items()})


def guests_of(spec: StackSpec, name: str) -> tuple[ServiceSpec, ...]:
    """Return the other services that are in the network of a service."""
    network_of = references(spec).network_of
    others = (each for each in spec.services.values() if each.name != name)
    return tuple(each for each in others if network_of(each.name) == name)


def is_set_aside(name: str) -> bool:
    """Return whether a start that has not succeeded yet replaced the container of this name."""
    return name.endswith(SET_ASIDE)


COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_CONFIG_HASH = "com.docker.compose.config-hash"
COMPOSE_VOLUME = "com.docker.compose.volume"
_COMPOSE = "com.docker.compose."

# They decide when a container is started and how its image is made, not what the container is.
_NOT_THE_CONTAINER = ("build", "depends_on", "profiles", "pull_policy", "scale")


@dataclass(frozen=True, slots=True)
class Identity:
    """One copy of a stack.

    Attributes:
        project: its own project name; `docker compose -p PROJECT ps` lists it.
        ownership: what every resource's ownership labels say.
        isolated: whether it is one of several copies (see `Names`).
    """

    project: str
    ownership: Ownership
    isolated: bool = True

    def labels(self) -> dict[str, str]:
        """Return the labels of every resource of this copy."""
        return {**ownership_labels(self.ownership), COMPOSE_PROJECT: self.project}

    def selector(self) -> dict[str, str]:
        """Return labels that every resource of this copy has, whichever command created it."""
        labels = ownership_labels(self.ownership)
        kept = {key: labels[key] for key in (f"{PREFIX}session", f"{PREFIX}project")}
        return {**kept, COMPOSE_PROJECT: self.project}

    def data_selector(self) -> dict[str, str | None]:
        """Return labels of the volumes of this copy that hold data of its services."""
        return {**self.selector(), COMPOSE_VOLUME: None}

    def container_labels(self, spec: StackSpec, service: str) -> dict[str, str]:
        """Return the labels of one service's container, as Compose v2 sets them beside ours."""
        return self.labels() | {
            COMPOSE_SERVICE: service,
            f"{_COMPOSE}container-number": "1",
            f"{_COMPOSE}oneoff": "False",
            f"{_COMPOSE}project.working_dir": str(spec.working_dir),
            f"{_COMPOSE}project.config_files": ",".join(str(file) for file in spec.files),
            COMPOSE_CONFIG_HASH: config_hash(spec, service),
        }

    def network_labels(self, key: str) -> dict[str, str]:
        """Return the labels of the network that the file calls `key`."""
        return self.labels() | {f"{_COMPOSE}network": key}

    def volume_labels(self, key: str) -> dict[str, str]:
        """Return the labels of the volume that the file calls `key`."""
        return self.labels() | {COMPOSE_VOLUME: key}


def config_hash(spec: StackSpec, unit: str) -> str:
    """Return a hash of what a service's container, or a native process, is made from.

    The image is not part of it: a container knows its own.
    """
    if unit in spec.processes:
        process = spec.processes[unit]
        made_from: list[Any] = [list(process.command), process.environment, str(process.cwd)]
    else:
        service = spec.services[unit]
        contents = {kind: _definitions(spec, service, kind) for kind in ("configs", "secrets")}
        made_from = [
            {key: value for key, value in service.config.items() if key not in _NOT_THE_CONTAINER},
            contents,
        ]
        ports = [each.config["ports"] for each in guests_of(spec, unit) if each.config.get("ports")]
        made_from += [ports] if ports else []
    text = json.dumps(made_from, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


def _definitions(spec: StackSpec, service: ServiceSpec, kind: str) -> list[Any]:
    declared = spec.document.get(kind) or {}
    definitions = [declared.get(use["source"]) for use in service.config.get(kind) or ()]
    names = [file.variable or "" for file in service.files if kind == f"{file.kind}s"]
    made_from = {name: spec.contents[name] for name in names if name in spec.contents}
    return [*definitions, made_from] if made_from else definitions


def volumes_of_copy(container: Mapping[str, Any], project: str) -> list[str]:
    """Return the volumes of a copy that one of its containers mounts.

    The engine makes a volume that is gone again, without labels: when it begins to create a
    container for a process that dies, and whoever cleans up removes the volume meanwhile.

    Args:
        container: as the engine lists it.
        project: the copy's own project name.
    """
    return [
        mount["Name"]
        for mount in container.get("Mounts") or ()
        if mount.get("Type") == "volume" and str(mount.get("Name")).startswith(f"{project}_")
    ]
