"""What one engine does and another does not: the only place that knows which engine is which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockwright.engine.types import EngineVersion

_DOCKERS_NETWORKS = 15 + 16
"""172.17.0.0/16 to 172.31.0.0/16, and 192.168.0.0/16 divided into /20 (docs.docker.com, "Default
network address pools")."""

_PODMANS_NETWORKS = (0xFFFF - 0x5900) + 1
"""10.89.0.0/24 to 10.255.255.0/24 (containers.conf, ``default_subnet_pools``)."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine does, as far as engines differ.

    Attributes:
        builds_with_buildx: whether the docker command's buildx can build on it.
        builds_any_dockerfile: whether its own builder knows the syntax that Docker's classic
            builder lacks.
        lists_in_json: whether its builder reads a list of hosts as JSON.
        all_endpoints_at_create: whether a container can be created in several networks, each with
            a hardware address (API 1.44).
        kills_on_removal: whether a forced removal kills; else it waits for the stop grace.
        whole_archives: whether archives of a container that never ran name their entries as those
            of others, and unpacking into a directory reaches the volumes below it.
        guards_networks_by_id: whether a network that containers use cannot be removed by its id
            either.
        reports_networks: whether there are events for containers that join a network.
        reports_health: whether there is an event for the result of a health check.
        answers_before_output: whether a stream's answer begins before there is something to read.
        filters_events: whether events are filtered by Docker's names for them.
        reports_copied_files: whether there is an event for files copied into a container.
        overlay_volumes: whether its local volume driver may mount overlays of other volumes.
        asks_registries: whether it looks up an image's digest in its registry.
        names_log_format: whether the content type of a log says how it is framed (API 1.42).
        samples_once: whether statistics come without a wait for a second sample (API 1.41).
        default_networks: how many networks its own address pools allow.
    """

    builds_with_buildx: bool
    builds_any_dockerfile: bool
    lists_in_json: bool
    all_endpoints_at_create: bool
    kills_on_removal: bool
    whole_archives: bool
    guards_networks_by_id: bool
    reports_networks: bool
    reports_health: bool
    answers_before_output: bool
    filters_events: bool
    reports_copied_files: bool
    overlay_volumes: bool
    asks_registries: bool
    names_log_format: bool
    samples_once: bool
    default_networks: int

    @classmethod
    def of(cls, version: EngineVersion) -> Capabilities:
        """Return what an engine of this version does."""
        docker = version.kind == "docker"
        return cls(
            builds_with_buildx=docker,
            builds_any_dockerfile=not docker,
            lists_in_json=not docker,
            all_endpoints_at_create=version.api_at_least("1.44"),
            kills_on_removal=docker,
            whole_archives=docker,
            guards_networks_by_id=docker,
            reports_networks=docker,
            reports_health=docker,
            answers_before_output=docker,
            filters_events=docker,
            reports_copied_files=docker,
            overlay_volumes=docker and version.os == "linux",
            asks_registries=docker,
            names_log_format=version.api_at_least("1.42"),
            samples_once=version.api_at_least("1.41"),
            default_networks=_DOCKERS_NETWORKS if docker else _PODMANS_NETWORKS,
        )
