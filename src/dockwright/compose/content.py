"""The hash of what a stack is made of: the same hash starts the same stack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dockwright.compose.source import Tree
from dockwright.model import ProcessSpec, ServiceSpec
from dockwright.untrusted import UnreadableError, read_plain

_MAX_BYTES = 64 << 20  # of a secret or config
_NAMED = ("networks", "volumes", "secrets", "configs")


def content_hash(
    tree: Tree,
    document: Mapping[str, Any],
    services: Mapping[str, ServiceSpec],
    processes: Mapping[str, ProcessSpec],
) -> str:
    """Return SHA-256 (hex) over everything but the project's name and names made from it.

    The content of files and variables behind secrets and configs counts; that of bind mounts and
    build contexts does not.
    """
    project = document.get("name")
    content: dict[str, Any] = {key: value for key, value in document.items() if key != "name"}
    for section in _NAMED:
        content[section] = {
            key: _without_derived_name(resource, f"{project}_{key}")
            for key, resource in (document.get(section) or {}).items()
        }
    files = [
        (section, key, _digest(Path(resource["file"])))
        for section in ("secrets", "configs")
        for key, resource in (tree.get(section) or {}).items()
        if resource.get("file")
    ]
    options = {
        name: [service.reset, service.options, service.durable, service.ready]
        for name, service in services.items()
    }
    native = {name: asdict(process) for name, process in processes.items()}
    text = json.dumps([content, files, options, native], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_derived_name(resource: Any, derived: str) -> Any:
    return {k: v for k, v in resource.items() if k != "name" or v != derived}


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(read_plain(file, limit_bytes=_MAX_BYTES)).hexdigest()
    except (OSError, UnreadableError):  # the engine says what is wrong when the stack starts
        return None
