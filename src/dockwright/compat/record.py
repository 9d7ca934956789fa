"""What the last run of a project started, for ``dockwright init --from-testcontainers``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dockwright.compat.container_spec import (
    ContainerRequest,
    Document,
    describe,
    document_of,
    service_name,
)
from dockwright.paths import project_hash, state_directory

_LIST = "started-{}.jsonl"


def directory_of(root: Path) -> Path:
    """Return where the files about a project's containers are."""
    return state_directory() / "compat" / project_hash(root)


class StartedContainers:
    """Lists what a run starts; all its processes write to one file, and only the last run has one.

    Args:
        root: the project's root directory.
        run: the id of the run.
    """

    def __init__(self, root: Path, run: str) -> None:
        self._file = directory_of(root) / _LIST.format(run)
        self._seen: set[str] = set()

    def add(self, request: ContainerRequest, kind: str) -> None:
        """Note a container; no-op if the run has started an equal one."""
        described, unknown = describe(request)
        service = service_name(kind, request.image)
        aliases = [alias for alias in _aliases(request.arguments) if alias != service]
        if aliases:
            described["networks"] = {"default": {"aliases": aliases}}
        described.pop("labels", None)
        line = json.dumps({"service": service, "described": described, "unknown": unknown})
        if line in self._seen:
            return
        self._seen.add(line)
        with suppress(OSError):  # the run does not depend on it
            self._begin()
            with self._file.open("a") as file:
                file.write(line + "\n")

    def _begin(self) -> None:
        if len(self._seen) > 1 or self._file.exists():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for earlier in self._file.parent.glob(_LIST.format("*")):
            if earlier != self._file:
                earlier.unlink(missing_ok=True)


def _aliases(arguments: Mapping[str, Any]) -> list[str]:
    config = (arguments.get("networking_config") or {}).get(arguments.get("network")) or {}
    return [str(alias) for alias in config.get("Aliases") or ()]


def compose_document(root: Path) -> tuple[Document, list[str]]:
    """Return one Compose file of all that the last run started, and what it cannot say.

    Returns:
        An empty document if no run has started anything.
    """
    services: dict[str, Document] = {}
    missing: list[str] = []
    for entry in _entries(root):
        name = _free_name(entry["service"], entry["described"], services)
        if name not in services:
            services[name] = entry["described"]
            missing += [f"{name}: {each}" for each in entry["unknown"]]
    return (document_of(services) if services else {}), missing


def _entries(root: Path) -> list[dict[str, Any]]:
    files = sorted(directory_of(root).glob(_LIST.format("*")), key=os.path.getmtime)
    if not files:
        return []
    return [json.loads(line) for line in dict.fromkeys(files[-1].read_text().splitlines())]


def _free_name(service: str, described: Document, taken: Mapping[str, Document]) -> str:
    """Return the name of an equal service, or one that no other service has."""
    name, number = service, 1
    while name in taken and taken[name] != described:
        number += 1
        name = f"{service}-{number}"
    return name
