"""What tests make on an engine, labelled so that it can be looked for and removed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.cache.frozen import FROZEN_LABEL, STORE_LABEL
from dockwright.errors import EngineError

if TYPE_CHECKING:
    from dockwright.engine import Engine
    from dockwright.model import Json


@dataclass(frozen=True, slots=True)
class Owned:
    """What one test makes on the engine: labelled by `labels`, removed after it in any case.

    Attributes:
        engine: the engine.
        name: a unique name to begin others with.
        labels: to be put on everything; `left` looks for them.
    """

    engine: Engine
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def run(self, image: str, *command: str, **config: Json) -> str:
        """Start a container with this command (Engine API fields in `config`); return its id."""
        container = self.create(image, *command, **config)
        self.engine.start_container(container)
        return container

    def create(self, image: str, *command: str, **config: Json) -> str:
        """Create the container without starting it."""
        body: dict[str, Json] = {"Image": image, "Labels": self.labels, "Cmd": list(command)}
        return self.engine.create_container(f"{self.name}-{uuid.uuid4().hex[:6]}", body | config)

    def left(self) -> list[str]:
        """Name what still bears the labels: containers, networks, volumes."""
        return leftovers(self.engine, self.labels)

    def remove(self) -> None:
        """Remove all of it."""
        for container in self.engine.list_containers(self.labels):
            self.engine.remove_container(container["Id"])
        for network in self.engine.list_networks(self.labels):
            self.engine.remove_network(network["Id"])
        for volume in self.engine.list_volumes(self.labels):
            self.engine.remove_volume(volume["Name"])


def leftovers(engine: Engine, labels: Mapping[str, str | None]) -> list[str]:
    """Name every container, network and volume that has `labels` (None: whatever the value)."""
    return [
        *(f"container {each['Names'][0]}" for each in engine.list_containers(labels)),
        *(f"network {each['Name']}" for each in engine.list_networks(labels)),
        *(f"volume {each['Name']}" for each in engine.list_volumes(labels)),
    ]


def remove_frozen(engine: Engine, directory: Path) -> None:
    """Remove the frozen volumes of all stores below a directory that no copy uses."""
    for volume in engine.list_volumes({FROZEN_LABEL: None}):
        if Path(volume["Labels"][STORE_LABEL]).is_relative_to(directory):
            with suppress(EngineError):  # a warm pool's broker may still be ending
                engine.remove_volume(volume["Name"])
