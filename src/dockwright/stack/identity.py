"""Which copy of a stack this is: its project name, its owner, and the labels that say so."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.engine import ownership_labels
from dockwright.model import Ownership, StackSpec

COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
_COMPOSE = "com.docker.compose."


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

    def container_labels(self, spec: StackSpec, service: str) -> dict[str, str]:
        """Return the labels of one service's container, as Compose v2 sets them beside ours."""
        return self.labels() | {
            COMPOSE_SERVICE: service,
            f"{_COMPOSE}container-number": "1",
            f"{_COMPOSE}oneoff": "False",
            f"{_COMPOSE}project.working_dir": str(spec.working_dir),
            f"{_COMPOSE}project.config_files": ",".join(str(file) for file in spec.files),
            f"{_COMPOSE}config-hash": spec.content_hash,
        }

    def network_labels(self, key: str) -> dict[str, str]:
        """Return the labels of the network that the file calls `key`."""
        return self.labels() | {f"{_COMPOSE}network": key}

    def volume_labels(self, key: str) -> dict[str, str]:
        """Return the labels of the volume that the file calls `key`."""
        return self.labels() | {f"{_COMPOSE}volume": key}
