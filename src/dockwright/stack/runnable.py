"""What of right Compose cannot be run here, or not in two copies side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import cast

from dockwright.engine import Engine
from dockwright.errors import ComposeError, ComposeUnsupportedError
from dockwright.model import Json, ServiceSpec, StackSpec
from dockwright.stack.engine_needs import require_engine
from dockwright.stack.mounts import volume_entries
from dockwright.stack.names import references


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
    networks = cast("Mapping[str, Mapping[str, Json] | None]", spec.document.get("networks") or {})
    for key, network in networks.items():
        network = network or {}
        if network.get("external"):
            return f"services of two copies would have the same names in the external network {key}"
        if "parent" in cast("Mapping[str, Json]", network.get("driver_opts") or {}):
            return f"network {key} takes an interface of the host (`parent`) for itself"
    for name, service in spec.services.items():
        mode = str(service.config.get("network_mode") or "")
        if mode == "host":
            return f"service {name} is in the host's network, where each port is there once"
        if mode.startswith("container:") and references(spec).shared(mode) is None:
            return f"service {name} is in the network of a container outside the project ({mode})"
        for entry in volume_entries(service):
            source = str(entry.get("source") or "")
            if entry["type"] == "volume" and not entry.get("read_only") and _external(spec, source):
                return f"service {name} may write to the external volume {source}"
    return ""


def _external(spec: StackSpec, volume: str) -> bool:
    declared = cast("Mapping[str, Mapping[str, Json] | None]", spec.document.get("volumes") or {})
    return bool((declared.get(volume) or {}).get("external"))


def _require_given_files(spec: StackSpec, service: ServiceSpec) -> None:
    for kind in ("configs", "secrets"):
        declared = cast("Mapping[str, Mapping[str, Json]]", spec.document.get(kind) or {})
        for use in cast("Sequence[Mapping[str, Json]]", service.config.get(kind) or ()):
            source = str(use["source"])
            definition = declared.get(source) or {}
            variable = str(definition.get("environment") or "")
            if variable and variable not in spec.contents:
                raise ComposeError(
                    f"service {service.name} needs the {kind[:-1]} {source!r}, "
                    f"but the variable {variable} that it is made from is not set",
                    path=f"{kind}.{source}.environment",
                    hint=f"set {variable} in the environment or in .env",
                )
            if definition.get("external"):
                raise ComposeUnsupportedError(
                    f"external {kind[:-1]} {source!r} needs a swarm, which dockwright does not use",
                    path=f"{kind}.{source}",
                    hint="give it by file, environment or content instead",
                )


def _require_directory(service: ServiceSpec) -> None:
    build = cast("Mapping[str, Json]", service.config.get("build") or {})
    context = str(build.get("context") or "/")
    if not PurePosixPath(context).is_absolute():  # what is no URL was made absolute by the loader
        raise ComposeUnsupportedError(
            f"the build context {context} is on another machine; dockwright builds from "
            "directories only",
            path=f"services.{service.name}.build.context",
            hint="clone or unpack it and name the directory, or build the image beforehand and "
            "name it with `image:` alone",
        )


def _require_absolute_targets(service: ServiceSpec) -> None:
    for mount in cast("Sequence[Mapping[str, Json]]", service.config.get("volumes") or ()):
        target = str(mount.get("target") or "/")
        if not target.startswith("/"):
            raise ComposeUnsupportedError(
                f"{target!r} is no absolute path in a container",
                path=f"services.{service.name}.volumes",
                hint="a single letter before the colon is read as a Windows drive, as Compose "
                "does: give the volume a longer name, or use `source:` and `target:`",
            )
