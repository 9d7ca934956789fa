"""Which copy of a stack this is: its project name, its owner, and the labels that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from dockwright.engine import PREFIX, ownership_labels
from dockwright.model import Json, Ownership, StackSpec
from dockwright.stack.names import guests_of

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
        """Return labels that everything of this copy bears, whichever command made it."""
        labels = ownership_labels(self.ownership)
        kept = {key: labels[key] for key in (f"{PREFIX}session", f"{PREFIX}project")}
        return {**kept, COMPOSE_PROJECT: self.project}

    def data_selector(self) -> dict[str, str | None]:
        """Return labels that the volumes of this copy bear which hold data of its services."""
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
        made_from: list[Json] = [list(process.command), process.environment, str(process.cwd)]
    else:
        config = spec.services[unit].config
        contents = {kind: _definitions(spec, config, kind) for kind in ("configs", "secrets")}
        made_from = [
            {key: value for key, value in config.items() if key not in _NOT_THE_CONTAINER},
            contents,
        ]
        ports = [each.config["ports"] for each in guests_of(spec, unit) if each.config.get("ports")]
        made_from += [ports] if ports else []
    text = json.dumps(made_from, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


def _definitions(spec: StackSpec, config: Mapping[str, Json], kind: str) -> Json:
    declared = cast("Mapping[str, Json]", spec.document.get(kind) or {})
    uses = cast("Sequence[Mapping[str, Json]]", config.get(kind) or ())
    definitions = [declared.get(str(use["source"])) for use in uses]
    names = [str(each.get("environment")) for each in definitions if isinstance(each, Mapping)]
    made_from = {name: spec.contents[name] for name in names if name in spec.contents}
    return [*definitions, made_from] if made_from else definitions
