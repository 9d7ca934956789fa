"""How the containers, networks and volumes of one copy of a stack are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from dockwright.model import Json, StackSpec

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

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        declared = self.spec.services[service].config.get("container_name")
        if isinstance(declared, str) and not self.isolated:
            return declared
        return f"{self.project}-{service}-1"

    def network(self, key: str) -> str:
        """Return the engine's name of the network that the file calls `key`."""
        return self._resource("networks", key)

    def volume(self, key: str) -> str:
        """Return the engine's name of the volume that the file calls `key`."""
        return self._resource("volumes", key)

    def anonymous_volume(self, service: str, target: str) -> str:
        """Return the name given to a volume that has none, so that it can be found and rolled back.

        Anonymous volumes come from an image's ``VOLUME`` or a volume entry without a source.
        """
        slug = "-".join(part for part in target.split("/") if part) or "root"
        return f"{self.project}_{service}-anonymous-{slug}"

    def is_external(self, kind: str, key: str) -> bool:
        """Tell whether somebody else owns the network or volume (`kind`: networks, volumes)."""
        return bool(self._declared(kind, key).get("external"))

    def declared(self, kind: str) -> Mapping[str, Mapping[str, Json]]:
        """Return the file's top-level ``networks`` or ``volumes``, by key."""
        section = cast(
            "Mapping[str, Mapping[str, Json] | None]", self.spec.document.get(kind) or {}
        )
        return {key: value or {} for key, value in section.items()}

    def _declared(self, kind: str, key: str) -> Mapping[str, Json]:
        return self.declared(kind).get(key, {})

    def _resource(self, kind: str, key: str) -> str:
        declared = self._declared(kind, key)
        name = declared.get("name")
        if isinstance(name, str) and (declared.get("external") or not self.isolated):
            return name
        return f"{self.project}_{key}"


def is_set_aside(name: str) -> bool:
    """Tell whether a container of this name was replaced by a start that has not succeeded yet."""
    return name.endswith(SET_ASIDE)
