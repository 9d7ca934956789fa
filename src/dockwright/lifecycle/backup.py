"""Backs up one long-lived stack: its volumes, its spec, its configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dockwright import __version__
from dockwright.engine import parallel
from dockwright.errors import ImageMissingError, StackError, UsageError
from dockwright.lifecycle.archive_codec import ZSTD, Codec
from dockwright.lifecycle.archive_write import Draft, draft_path, drafted
from dockwright.lifecycle.backup_config import config_tar
from dockwright.lifecycle.backup_progress import Progress, ahead
from dockwright.lifecycle.backup_rest import at_rest
from dockwright.lifecycle.backup_spec import spec_text
from dockwright.lifecycle.backup_volumes import Volume, helper, volumes_of
from dockwright.lifecycle.journal import Journal
from dockwright.lifecycle.manifest import CONFIG, SPEC, ImageOf, Manifest, Part
from dockwright.stack import COMPOSE_SERVICE, Stack


@dataclass(frozen=True, slots=True)
class BackupTarget:
    """Where a backup is written, and how.

    Attributes:
        path: the file or directory.
        codec: how its parts are compressed.
        single: one file instead of a directory.
        replace: whether what is there may be replaced.
    """

    path: Path
    codec: Codec = ZSTD
    single: bool = True
    replace: bool = False

    def check(self) -> None:
        """Make sure that it may be written.

        Raises:
            UsageError: something is there.
        """
        if os.path.lexists(self.path) and not self.replace:
            raise UsageError(
                f"{self.path} exists", hint="choose another name, or add --force to replace it"
            )


def back_up(
    stack: Stack, target: BackupTarget, progress: Progress, *, config: Path | None = None
) -> Manifest:
    """Write a backup of a stack, which runs or not; what can write is paused meanwhile.

    The caller holds the stack's lock (`exclusive`).

    Args:
        stack: an attached long-lived stack.
        target: where.
        progress: is told how far it is; may call it off.
        config: the stack's config directory; None, or one that does not exist: there is none.

    Returns:
        What the backup holds.

    Raises:
        DockwrightError: it could not be written; nothing of it is left, and the stack runs on.
    """
    target.check()
    if not stack.containers and not stack.engine.list_volumes(stack.identity.data_selector()):
        raise StackError(
            f"there is no stack {stack.identity.project}: nothing to back up",
            hint="start it first: dockwright stack start",
        )
    created = int(time.time())
    with drafted(target.path, target.codec, created, single=target.single) as draft:
        running, images = running_units(stack), images_of(stack)
        parts = [draft.add(SPEC, [spec_text(stack.spec)])]
        if config is not None and config.is_dir():
            parts.append(draft.add(CONFIG, config_tar(config)))
        parts += _volumes(stack, draft, draft_path(target.path), progress)
        version = stack.engine.version()
        manifest = Manifest(
            project=stack.identity.project,
            created=created,
            dockwright=__version__,
            compression=target.codec.name,
            platform=f"{version.os}/{version.arch}",
            running=tuple(running),
            images=images,
            parts=tuple(parts),
        )
        progress.begin("writing to disk")
        draft.finish(manifest)
    return manifest


def _volumes(stack: Stack, draft: Draft, path: Path, progress: Progress) -> list[Part]:
    volumes = volumes_of(stack.engine, stack.identity)
    if not volumes:
        return []
    names = [volume.name for volume in volumes]
    progress.begin("holding the stack still")
    journal = Journal.of(stack.identity.project, stack.engine.endpoint.url)
    with at_rest(stack, names, journal, path):
        return read_volumes(stack, draft, volumes, progress)


def read_volumes(
    stack: Stack, draft: Draft, volumes: list[Volume], progress: Progress
) -> list[Part]:
    """Write the volumes, which nobody changes, as parts of a draft."""
    if not volumes:
        return []
    parts: list[Part] = []
    mounts = {volume.file: volume.name for volume in volumes}
    image = an_image(stack)
    with helper(stack.engine, stack.identity, image, mounts, writable=False) as reader:
        for volume in volumes:
            progress.begin(f"reading volume {volume.key}")
            with ahead(reader.read(volume.file)) as chunks:
                name = f"volumes/{volume.file}.tar"
                parts.append(draft.add(name, progress.counted(chunks), volume=volume.key))
    return parts


def an_image(stack: Stack) -> str:
    """Return some image that is on the engine, for a container that never runs.

    Raises:
        StackError: there is none of the stack's.
    """
    for container in stack.engine.list_containers(stack.identity.selector()):
        return str(container["ImageID"])
    for image in images_of(stack).values():
        if image.id:
            return image.id
    raise StackError(
        f"none of the images of stack {stack.identity.project} is on the engine: "
        "its volumes cannot be reached without one",
        hint="start the stack once, or pull one of its images",
    )


def running_units(stack: Stack) -> list[str]:
    """Return the services and processes that run."""
    listed = stack.engine.list_containers(stack.identity.selector(), all=False)
    services = {str(each["Labels"].get(COMPOSE_SERVICE)) for each in listed}
    processes = {name for name, process in stack.processes.items() if process.running}
    return [name for name in stack.graph.ordered() if name in services | processes]


def images_of(stack: Stack) -> dict[str, ImageOf]:
    """Return the images of all services: those of their containers, or those by their names."""
    names = list(stack.spec.services)
    return dict(
        zip(names, parallel.run([partial(_image_of, stack, name) for name in names]), strict=True)
    )


def _image_of(stack: Stack, service: str) -> ImageOf:
    reference = stack.spec.services[service].image or f"{stack.spec.name}-{service}"
    wanted = reference
    if service in stack.containers:
        wanted = str(stack.engine.inspect_container(stack.containers[service])["Image"])
    try:
        found: Mapping[str, Any] = stack.engine.inspect_image(wanted)
    except ImageMissingError:
        return ImageOf(reference, wanted if wanted != reference else "")
    return ImageOf(reference, str(found["Id"]), tuple(found.get("RepoDigests") or ()))
