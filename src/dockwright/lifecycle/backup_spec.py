"""The stack spec as a Compose file that needs nothing beside it: what a backup keeps of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dockwright.compose import LoadOptions, load, to_yaml
from dockwright.model import StackSpec


def spec_text(spec: StackSpec) -> bytes:
    """Return the spec as a Compose file: merged, filled in, images by name instead of builds.

    Names that follow from the project's are left out, so that it may have another one elsewhere.
    """
    document = _plain(spec.yaml_document)
    for name, service in document.get("services", {}).items():
        service.pop("build", None)
        service["image"] = spec.services[name].image or f"{spec.name}-{name}"
    for kind in ("networks", "volumes", "configs", "secrets"):
        for key, declared in (document.get(kind) or {}).items():
            if isinstance(declared, dict) and declared.get("name") == f"{spec.name}_{key}":
                del declared["name"]
    return to_yaml(replace(spec, yaml_document=document)).encode()


def read_spec(
    content: bytes, *, project: str, working_dir: Path, values: Mapping[str, str] | None = None
) -> StackSpec:
    """Read what `spec_text` returned.

    Args:
        content: the Compose file.
        project: the project name to give it.
        working_dir: the directory that stands for the project on this host.
        values: variables, for what it takes from the environment when it starts.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "compose.yaml"
        file.write_bytes(content)
        spec = load(
            LoadOptions(
                files=(file,),
                project_name=project,
                working_dir=working_dir,
                profiles=("*",),
                values=values or {},
            )
        )
    return replace(spec, files=(working_dir / "compose.yaml",))


def _plain(value: Any) -> Any:
    """Return a copy of a document that may be changed."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
