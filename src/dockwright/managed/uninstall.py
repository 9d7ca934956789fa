"""Removes a long-lived stack: first lists what belongs to it, then removes exactly that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockwright._text import counted
from dockwright.engine import Engine
from dockwright.errors import EngineError
from dockwright.managed.home import ConfigHome
from dockwright.managed.images import ImageRecord, OwnImage, image_id
from dockwright.stack import MarkedProcess, Stack, kill_processes, marked_processes


@dataclass(frozen=True, slots=True)
class Scope:
    """What to remove besides containers, networks and native processes."""

    volumes: bool = False
    images: bool = False
    config: bool = False


@dataclass(frozen=True, slots=True)
class StackResources:
    """What belongs to one long-lived stack.

    Attributes:
        running: containers, networks and native processes, as kind and name.
        volumes: their names.
        images: images that were pulled or built for the stack and that nothing else uses.
        kept_images: images that were pulled or built for it and are kept, with the reason.
        config: the files in its config directory that an install wrote.
    """

    running: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[OwnImage, ...] = ()
    kept_images: tuple[tuple[OwnImage, str], ...] = ()
    config: tuple[Path, ...] = ()

    def listed(self, scope: Scope) -> list[tuple[str, str]]:
        """Return what to remove, as kind and name."""
        rows = list(self.running)
        rows += [("volume", name) for name in self.volumes if scope.volumes]
        rows += [("image", _name(image)) for image in self.images if scope.images]
        rows += [("file", str(file)) for file in self.config if scope.config]
        return rows

    def left(self, scope: Scope) -> Iterator[str]:
        """Yield a line for each kind of thing that is kept, with the option that removes it."""
        if self.volumes and not scope.volumes:
            yield f"{_kept('volume', self.volumes)}; to remove the data, use --volumes"
        if self.images and not scope.images:
            yield f"{_kept('image', map(_name, self.images))}; to remove them, use --images"
        if self.config and not scope.config:
            files = _kept("file", map(str, self.config))
            yield f"{files}; to remove settings and secrets, use --config"
        if scope.images:
            yield from (f"kept image {_name(image)}: {why}" for image, why in self.kept_images)


def belongings(stack: Stack, home: ConfigHome) -> StackResources:
    """Return what belongs to the stack and may be removed with it."""
    labels, engine = stack.identity.selector(), stack.engine
    containers = engine.list_containers(labels)
    running = [
        *(("container", container["Names"][0].lstrip("/")) for container in containers),
        *(
            ("process", f"{marked.unit} (pid {marked.process.pid})")
            for marked in _processes(stack)
            if marked.is_leader
        ),
        *(("network", network["Name"]) for network in engine.list_networks(labels)),
    ]
    images, kept = _images(stack, {container["Id"] for container in containers})
    return StackResources(
        running=tuple(running),
        volumes=tuple(volume["Name"] for volume in engine.list_volumes(labels)),
        images=tuple(images),
        kept_images=tuple(kept),
        config=tuple(home.own_files()),
    )


def uninstall_stack(
    stack: Stack, home: ConfigHome, found: StackResources, scope: Scope
) -> list[Path]:
    """Remove what `found.listed(scope)` returns.

    Returns:
        The files in the config directory that are kept because dockwright did not write them.

    Raises:
        EngineError: something could not be removed; an `ExceptionGroup` if several things.
    """
    if not scope.volumes:
        _stop(stack)  # the data is kept: let services shut down properly
    kill_processes(marked.process for marked in _processes(stack))
    stack.remove(volumes=scope.volumes)
    if scope.images:
        _remove_images(stack.engine, ImageRecord(stack.identity.project), found.images)
    return home.remove() if scope.config else []


def _stop(stack: Stack) -> None:
    stack.stop()
    for container in stack.engine.list_containers(stack.identity.selector(), all=False):
        stack.engine.stop_container(container["Id"])  # its service is no longer declared


def _processes(stack: Stack) -> list[MarkedProcess]:
    """Return the stack's native processes, including those that are no longer declared."""
    own = stack.identity.ownership
    return [
        marked
        for marked in marked_processes(stack.identity.project)
        if (marked.ownership.session, marked.ownership.project) == (own.session, own.project)
    ]


def _images(
    stack: Stack, own_containers: set[str]
) -> tuple[list[OwnImage], list[tuple[OwnImage, str]]]:
    """Return the recorded images that may be removed, and those that must be kept with why."""
    containers = stack.engine.list_containers({})
    others = [container for container in containers if container["Id"] not in own_containers]
    recorded = ImageRecord(stack.identity.project).read()
    own_names = {_full(image.reference) for image in recorded}
    removable, kept = [], []
    for image in recorded:
        if image.engine != stack.engine.endpoint.url or image_id(stack.engine, image.id) is None:
            continue  # on another engine, or gone
        why = _why_kept(stack.engine, image, others, own_names)
        if why is None:
            removable.append(image)
        else:
            kept.append((image, why))
    return removable, kept


def _why_kept(
    engine: Engine, image: OwnImage, others: Iterable[dict[str, Any]], own_names: set[str]
) -> str | None:
    user = next((container for container in others if container["ImageID"] == image.id), None)
    if user is not None:
        return f"container {user['Names'][0].lstrip('/')} uses it"
    names = engine.inspect_image(image.id).get("RepoTags") or []
    foreign = [name for name in names if name not in own_names]
    if foreign:
        return f"it is also tagged {', '.join(foreign)}"
    return None


def _full(reference: str) -> str:
    """Return a reference with its tag, as the engine lists it."""
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def _remove_images(engine: Engine, record: ImageRecord, images: Iterable[OwnImage]) -> None:
    for image in images:
        with suppress(EngineError):  # another image is based on it: keep it, and its record
            named = image_id(engine, image.reference) == image.id
            engine.remove_image(image.reference if named else image.id)
    record.drop_missing(engine)


def _kept(kind: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"kept {counted(len(listed), kind)} ({', '.join(listed)})"


def _name(image: OwnImage) -> str:
    return f"{image.reference} ({image.id.removeprefix('sha256:')[:12]})"
