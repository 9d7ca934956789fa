"""Removes a long-lived stack: lists what is ours first, then removes exactly that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockwright.engine import Engine
from dockwright.errors import EngineError
from dockwright.managed.home import ConfigHome
from dockwright.managed.images import ImageRecord, OwnImage, image_id
from dockwright.stack import MarkedProcess, Stack, kill_processes, marked_processes


@dataclass(frozen=True, slots=True)
class Scope:
    """What an uninstall takes beside containers, networks and native processes."""

    volumes: bool = False
    images: bool = False
    config: bool = False


@dataclass(frozen=True, slots=True)
class Belongings:
    """What there is of one long-lived stack.

    Attributes:
        running: containers, networks and native processes, as kind and name.
        volumes: their names.
        images: those that were got for the stack and that nothing else uses.
        kept_images: those that were got for it and stay, with the reason.
        config: the files of its config directory that were written by an install.
    """

    running: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    images: tuple[OwnImage, ...] = ()
    kept_images: tuple[tuple[OwnImage, str], ...] = ()
    config: tuple[Path, ...] = ()

    def listed(self, scope: Scope) -> list[tuple[str, str]]:
        """Return what goes, as kind and name."""
        rows = list(self.running)
        rows += [("volume", name) for name in self.volumes if scope.volumes]
        rows += [("image", _name(image)) for image in self.images if scope.images]
        rows += [("file", str(file)) for file in self.config if scope.config]
        return rows

    def left(self, scope: Scope) -> Iterator[str]:
        """Yield a line for each kind of thing that stays, with the option that removes it."""
        if self.volumes and not scope.volumes:
            yield f"{_left('volume', self.volumes)}: --volumes removes the data"
        if self.images and not scope.images:
            yield f"{_left('image', map(_name, self.images))}: --images removes them"
        if self.config and not scope.config:
            yield f"{_left('file', map(str, self.config))}: --config removes settings and secrets"
        if scope.images:
            yield from (f"image {_name(image)} stays: {why}" for image, why in self.kept_images)


def belongings(stack: Stack, home: ConfigHome) -> Belongings:
    """Return what there is of the stack and may be removed with it."""
    labels, engine = stack.identity.selector(), stack.engine
    containers = engine.list_containers(labels)
    running = [
        *(("container", each["Names"][0].lstrip("/")) for each in containers),
        *(
            ("process", f"{each.unit} (pid {each.process.pid})")
            for each in _processes(stack)
            if each.is_leader
        ),
        *(("network", each["Name"]) for each in engine.list_networks(labels)),
    ]
    images, kept = _images(stack, {each["Id"] for each in containers})
    return Belongings(
        running=tuple(running),
        volumes=tuple(each["Name"] for each in engine.list_volumes(labels)),
        images=tuple(images),
        kept_images=tuple(kept),
        config=tuple(home.own_files()),
    )


def uninstall_stack(stack: Stack, home: ConfigHome, found: Belongings, scope: Scope) -> list[Path]:
    """Remove what `found.listed(scope)` says; return the foreign files that stay.

    Raises:
        EngineError: or an `ExceptionGroup` of them: something could not be removed.
    """
    if not scope.volumes:
        _stop(stack)  # its data stays: it is to be written out in order
    kill_processes(each.process for each in _processes(stack))
    stack.remove(volumes=scope.volumes)
    if scope.images:
        _remove_images(stack.engine, ImageRecord(stack.identity.project), found.images)
    return home.remove() if scope.config else []


def _stop(stack: Stack) -> None:
    stack.stop()
    for each in stack.engine.list_containers(stack.identity.selector(), all=False):
        stack.engine.stop_container(each["Id"])  # of a service that is no longer declared


def _processes(stack: Stack) -> list[MarkedProcess]:
    """Return the stack's native processes, also of those that are no longer declared."""
    ours = stack.identity.ownership
    return [
        each
        for each in marked_processes(stack.identity.project)
        if (each.ownership.session, each.ownership.project) == (ours.session, ours.project)
    ]


def _images(stack: Stack, own: set[str]) -> tuple[list[OwnImage], list[tuple[OwnImage, str]]]:
    """Return the images that may go, and those that were got for the stack and stay."""
    users = [each for each in stack.engine.list_containers({}) if each["Id"] not in own]
    recorded = ImageRecord(stack.identity.project).read()
    ours = {_full(image.reference) for image in recorded}
    going, kept = [], []
    for image in recorded:
        if image.engine != stack.engine.endpoint.url or image_id(stack.engine, image.id) is None:
            continue  # another engine's, or gone
        why = _why_kept(stack.engine, image, users, ours)
        if why is None:
            going.append(image)
        else:
            kept.append((image, why))
    return going, kept


def _why_kept(
    engine: Engine, image: OwnImage, users: Iterable[dict[str, Any]], ours: set[str]
) -> str | None:
    user = next((each for each in users if each["ImageID"] == image.id), None)
    if user is not None:
        return f"container {user['Names'][0].lstrip('/')} uses it"
    names = engine.inspect_image(image.id).get("RepoTags") or []
    foreign = [name for name in names if name not in ours]
    if foreign:
        return f"it is also called {', '.join(foreign)}"
    return None


def _full(reference: str) -> str:
    """Return a reference with its tag, as the engine lists it."""
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def _remove_images(engine: Engine, record: ImageRecord, images: Iterable[OwnImage]) -> None:
    for image in images:
        with suppress(EngineError):  # another image is built on it: it stays, and is remembered
            named = image_id(engine, image.reference) == image.id
            engine.remove_image(image.reference if named else image.id)
    here = [each for each in record.read() if each.engine == engine.endpoint.url]
    record.drop(each for each in here if image_id(engine, each.id) is None)


def _left(kind: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"{len(listed)} {kind}{'' if len(listed) == 1 else 's'} left ({', '.join(listed)})"


def _name(image: OwnImage) -> str:
    return f"{image.reference} ({image.id.removeprefix('sha256:')[:12]})"
