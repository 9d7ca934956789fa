"""The volumes of a long-lived stack, read and filled through a container that never runs."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dockwright import __version__
from dockwright.engine import Engine, current_owner, ownership_labels
from dockwright.errors import StackError
from dockwright.model import Ownership
from dockwright.stack import COMPOSE_PROJECT, Identity

VOLUME = "com.docker.compose.volume"
_ROOT = "/volumes"


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that belongs to the stack.

    Attributes:
        key: what the Compose file calls it; ``SERVICE:TARGET`` where it has no name there.
        name: what the engine calls it.
        file: what its part of a backup is called; the directory that its tar begins with.
    """

    key: str
    name: str
    file: str


def volumes_of(engine: Engine, identity: Identity) -> list[Volume]:
    """Return the volumes of the stack that exist, by their labels."""
    found = {
        str(each["Labels"][VOLUME]): str(each["Name"])
        for each in engine.list_volumes(identity.selector())
        if VOLUME in each["Labels"]
    }
    files = file_names(found)
    return [Volume(key, found[key], files[key]) for key in sorted(found)]


def file_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a file name for each volume; those without a name get one from where they are."""
    names: dict[str, str] = {}
    for key in sorted(keys):
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", key).strip("-.")[:80] or "volume"
        name, count = plain, 1
        while name.lower() in {each.lower() for each in names.values()}:
            count += 1
            name = f"{plain}-{count}"
        names[key] = name
    return names


class Helper:
    """A container that is never started, with volumes mounted side by side.

    Nothing of the services' own mounts is in the way, and the engine may be far away.
    """

    def __init__(self, engine: Engine, container: str, mounts: Mapping[str, str]) -> None:
        self._engine = engine
        self._container = container
        self._mounts = mounts

    def read(self, file: str) -> Generator[bytes, None, None]:
        """Yield the tar of the volume with this file name; its entries begin with that name."""
        return self._engine.volume_out(self._mounts[file], self._container, f"{_ROOT}/{file}")

    def fill(self, file: str, chunks: Iterable[bytes]) -> None:
        """Unpack a tar, as `read` yields it, into the volume with this file name."""
        target = f"{_ROOT}/{file}"
        self._engine.volume_in(self._mounts[file], self._container, target, chunks)


def helper_project(project: str) -> str:
    """Return the project name that helpers bear: they are no part of the stack."""
    return f"{project}-helper"


@contextmanager
def helper(
    engine: Engine, identity: Identity, image: str, mounts: Mapping[str, str], *, writable: bool
) -> Iterator[Helper]:
    """Make a helper for some volumes of a stack; it is gone after the block.

    Args:
        engine: where.
        identity: of the stack.
        image: any image that is on the engine; nothing of it is run.
        mounts: the engine's names of the volumes, by file name.
        writable: whether they are to be filled.
    """
    sources = [
        {
            "Type": "volume",
            "Source": name,
            "Target": f"{_ROOT}/{file}",
            "ReadOnly": not writable,
            "VolumeOptions": {"NoCopy": True},
        }
        for file, name in mounts.items()
    ]
    owner = current_owner()
    ownership = Ownership(
        session=f"helper-{owner.pid}",
        project=identity.ownership.project,
        stack=identity.project,
        owner=owner,
        created=time.time(),
        version=__version__,
    )
    project = helper_project(identity.project)
    body: dict[str, Any] = {
        "Image": image,
        "Entrypoint": ["/helper"],
        "Cmd": [],
        "Labels": {**ownership_labels(ownership), COMPOSE_PROJECT: project},
        "HostConfig": {"Mounts": sources, "NetworkMode": "none"},
    }
    container = engine.create_container(f"{project}-{owner.pid}-{time.monotonic_ns()}", body)
    try:
        yield Helper(engine, container, mounts)
    finally:
        engine.remove_container(container)


def remove_helpers(engine: Engine, project: str) -> None:
    """Remove the helpers that a killed command left; its successor holds the stack's lock."""
    for container in engine.list_containers({COMPOSE_PROJECT: helper_project(project)}):
        engine.remove_container(container["Id"])


def check_alone(engine: Engine, identity: Identity, volumes: Iterable[Volume]) -> None:
    """Make sure that nobody else uses the stack's volumes: they are about to be replaced.

    Raises:
        StackError: a container that is not the stack's mounts one of them.
    """
    ours = identity.selector().items()
    names = {volume.name for volume in volumes}
    for container in engine.list_containers({}):
        used = names & {mount.get("Name") for mount in container.get("Mounts") or ()}
        if used and not ours <= (container["Labels"] or {}).items():
            name = container["Names"][0].lstrip("/")
            raise StackError(
                f"volume {min(used)} is also used by container {name}, which is not part of "
                f"stack {identity.project}",
                hint=f"remove that container first (docker rm -f {name})",
            )
