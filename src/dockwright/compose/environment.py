"""The variables of services: ``environment`` without values, ``env_file`` and ``label_file``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dockwright.compose.dotenv import read_env_file, set_variables
from dockwright.compose.mappings import Listed
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.untrusted import exists, is_file


def fill_variables(tree: Tree, variables: Mapping[str, str], *, listed: bool = False) -> None:
    """Give ``environment`` entries without a value the one that the caller's environment has.

    Args:
        tree: a project, or an included one.
        variables: the caller's environment, and what the project's env files add to it.
        listed: only where they stand in a list: Compose reads no others in an included project.
    """
    for service in (tree.get("services") or {}).values():
        environment = (service or {}).get("environment") or {}
        if listed and not isinstance(environment, Listed):
            continue
        for name, value in environment.items():
            if value is None and name in variables:
                environment[name] = variables[name]


def read_env_files(
    service: Tree, name: str, variables: Mapping[str, str], origins: Origins
) -> None:
    """Put the variables of a service's ``env_file`` under its ``environment``, in place.

    Raises:
        ComposeError: a required file is missing, or one cannot be read.
    """
    found: dict[str, str | None] = {}
    for index, entry in enumerate(service.pop("env_file", ())):
        file = Path(entry["path"])
        path = ("services", name, "env_file", index)
        style = entry.get("format") or ""
        if style not in ("", "raw"):
            raise origins.error(path, f"unknown format {style!r}; there is only 'raw'")
        if exists(file):
            known = {**variables, **set_variables(found)}
            found |= _counted(read_env_file(file, known, raw=style == "raw"), path, origins)
        elif entry["required"]:
            raise origins.error(
                path,
                f"there is no file {file}",
                hint="write 'required: false' beside its path where it may be missing",
            )
    if found or "environment" in service:
        service["environment"] = found | (service.get("environment") or {})


def read_label_files(service: Tree, name: str, origins: Origins) -> None:
    """Put the labels of a service's ``label_file`` under its ``labels``, in place.

    Raises:
        ComposeError: a file is missing or cannot be read.
    """
    found: dict[str, str | None] = {}
    for index, text in enumerate(service.pop("label_file", ())):
        path = ("services", name, "label_file", index)
        if not is_file(Path(text)):
            raise origins.error(path, f"there is no file {text}")
        found |= _counted(read_env_file(Path(text), set_variables(found)), path, origins)
    if found:
        service["labels"] = found | (service.get("labels") or {})


def _counted(
    found: dict[str, str | None], path: DocPath, origins: Origins
) -> dict[str, str | None]:
    for name, value in found.items():
        origins.spend(path, len(name) + len(value or ""))
    return found
