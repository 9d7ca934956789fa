"""Spares the databases of a disposable copy the wait for the disk (pure translation).

What a process has written stays written when the process is killed: the kernel has it. A server
that waits for the disk guards against the end of the machine, which no disposable copy outlives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import cast

from dockwright.model import Json, ServiceSpec
from dockwright.stack.container_config import volume_entries
from dockwright.stack.images import ReadyImage
from dockwright.stack.naming import Names

_POSTGRES = "postgres"
_INITDB = "POSTGRES_INITDB_ARGS"


def unsynced(
    body: Mapping[str, Json], service: ServiceSpec, image: ReadyImage, names: Names
) -> dict[str, Json]:
    """Return a container's body whose server does not wait for the disk, if it is known how.

    Known is the PostgreSQL of the official image and of those that are built from it. A service
    whose data may outlive the copy, or that says ``durable: true`` or ``fsync``, stays as it is.
    """
    command = _command(body, image)
    if (
        service.durable
        or command is None
        or any("fsync" in word for word in command)
        or _keeps_data(service, names)
    ):
        return dict(body)
    return {**body, "Cmd": [*command, "-c", "fsync=off"], "Env": [*_environment(body, image)]}


def _command(body: Mapping[str, Json], image: ReadyImage) -> list[str] | None:
    """Return the command line of the image's own PostgreSQL server; None where it runs another."""
    entrypoint = [] if "Entrypoint" in body else _texts(image, "Entrypoint")
    if not entrypoint or PurePosixPath(entrypoint[-1]).name != "docker-entrypoint.sh":
        return None
    own = cast("Sequence[str]", body.get("Cmd") or ())
    command = list(own) or _texts(image, "Cmd")
    if command and command[0].startswith("-") and _texts(image, "Cmd") == [_POSTGRES]:
        return [_POSTGRES, *command]
    return command if command and command[0] == _POSTGRES else None


def _environment(body: Mapping[str, Json], image: ReadyImage) -> list[str]:
    declared = list(cast("Sequence[str]", body.get("Env") or ()))
    given = dict(entry.partition("=")[::2] for entry in (*_texts(image, "Env"), *declared))
    if f"{_INITDB}_FILE" in given:  # the image refuses both
        return declared
    others = [entry for entry in declared if entry.partition("=")[0] != _INITDB]
    return [*others, f"{_INITDB}={given.get(_INITDB, '')} -N".replace("= ", "=")]


def _keeps_data(service: ServiceSpec, names: Names) -> bool:
    """Tell whether it may write to what is not this copy's own."""
    return any(
        (entry["type"] == "bind" and not entry.get("read_only"))
        or (entry["type"] == "volume" and names.is_external("volumes", str(entry.get("source"))))
        for entry in volume_entries(service)
    ) or bool(service.config.get("volumes_from"))


def _texts(image: ReadyImage, key: str) -> list[str]:
    config = cast("Mapping[str, Json]", image.details.get("Config") or {})
    return [str(each) for each in cast("Sequence[Json]", config.get(key) or ())]
