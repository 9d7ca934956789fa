"""Restores a backup: verifies it first, and puts the existing stack back if anything fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dockwright import __version__
from dockwright.engine import parallel
from dockwright.errors import (
    DiskFullError,
    DockwrightError,
    ImageMissingError,
    NoSuchObjectError,
    StackError,
    UsageError,
)
from dockwright.managed.archive.layout import PLAIN, SPEC, Manifest
from dockwright.managed.archive.read import Archive, root_of
from dockwright.managed.archive.write import drafted
from dockwright.managed.backup import (
    an_image,
    check_alone,
    helper,
    images_of,
    read_volumes,
    running_units,
    spec_text,
    volumes_of,
)
from dockwright.managed.backup_progress import Progress, ahead
from dockwright.managed.journal import RestoreJournal
from dockwright.managed.restore_undo import (
    REPLACING,
    SAVING,
    ConfigFiles,
    described,
    remove_all,
    undo_restore,
)
from dockwright.stack import Listener, Stack, StartProgress, start_whole


@dataclass(frozen=True, slots=True)
class Restore:
    """The plan to restore a backup; see `plan_restore`.

    Attributes:
        stack: the stack, attached to its existing containers.
        archive: the verified backup.
        config: files for the config directory of the stack.
        volumes: the engine's names of the volumes, by part name.
        existing: descriptions of what exists and would be replaced.
    """

    stack: Stack
    archive: Archive
    config: ConfigFiles
    volumes: Mapping[str, str]
    existing: tuple[str, ...] = field(default=())


def plan_restore(
    stack: Stack, archive: Archive, config: ConfigFiles, listener: Listener
) -> Restore:
    """Check that a backup can be restored, and pull missing images; change nothing else.

    Args:
        stack: an attached long-lived stack; the caller holds its lock.
        archive: a verified backup.
        config: files for its config directory.
        listener: gets the events of images.

    Raises:
        UsageError: the project does not declare a volume of the backup.
        ImageMissingError: an image does not exist locally and cannot be pulled; names its digest.
        StackError: something else uses a volume.
    """
    engine, identity = stack.engine, stack.identity
    volumes = {part.name: _engine_name(stack, part.volume) for part in archive.manifest.volumes}
    existing = volumes_of(engine, identity)
    check_alone(engine, identity, existing)
    own_names = {volume.name for volume in existing}
    for name in volumes.values():
        if name not in own_names:
            _check_free(stack, name)
    _get_images(stack, archive.manifest, listener)
    containers = engine.list_containers(identity.selector())
    found = [
        *(f"container {container['Names'][0].lstrip('/')}" for container in containers),
        *(f"volume {volume.name}" for volume in existing),
        *(f"file {path}" for path in config.changing()),
    ]
    return Restore(stack, archive, config, volumes, tuple(found))


def _engine_name(stack: Stack, key: str) -> str:
    service, colon, target = key.partition(":")
    if colon and service in stack.spec.services:
        return stack.anonymous_volume(service, target)
    declared = not colon and key in stack.spec.section("volumes")
    if declared and not stack.spec.is_external("volumes", key):
        return stack.names.volume(key)
    raise UsageError(
        f"the backup has a volume {key}, but project {stack.spec.name} does not declare it",
        hint="restore the backup with its own project, or use the project from the backup with "
        "--from-archive",
    )


def _check_free(stack: Stack, name: str) -> None:
    try:
        stack.engine.inspect_volume(name)
    except NoSuchObjectError:
        return
    project = stack.identity.project
    elsewhere = "restore under another project name with -p"
    if not name.startswith(f"{project}_"):  # `name:` sets it, whatever the project is called
        elsewhere = "change `name:` of that volume in the Compose file"
    raise StackError(
        f"volume {name} already exists and is not part of stack {project}",
        hint=f"if it is not needed, remove it first (docker volume rm {name}); else {elsewhere}",
    )


def _get_images(stack: Stack, manifest: Manifest, listener: Listener) -> None:
    progress = StartProgress(listener)

    def get(service: str) -> None:
        try:
            stack.ensure_image(service, progress)
        except ImageMissingError as exc:
            image = manifest.images.get(service)
            known = [name for name in (*image.digests, image.id) if name] if image else []
            was = f"; when the backup was made, it was {known[0]}" if known else ""
            raise ImageMissingError(f"{exc.message}{was}", hint=exc.hint) from exc

    parallel.run([partial(get, name) for name in stack.spec.services])


def restore_stack(restore: Restore, progress: Progress, *, start: bool | None = None) -> list[str]:
    """Replace a stack with a backup.

    Args:
        restore: the plan; the caller still holds the stack's lock.
        progress: shows the progress, and can cancel the restore.
        start: whether to start it afterwards; None: start what ran before, or everything if there
            was no stack.

    Returns:
        The units that were started.

    Raises:
        DockwrightError: it failed or was cancelled; everything is as it was before.
    """
    stack = restore.stack
    journal = RestoreJournal.of(stack.identity.project, stack.engine.endpoint.url)
    document = _journal_document(restore)
    units = _to_start(restore, start=start)
    try:
        if restore.existing:
            journal.write(document | {"phase": SAVING})
            _save(stack, journal, progress)
        document |= {"phase": REPLACING}
        journal.write(document)
        _replace(restore, units, progress)
        progress.begin("finishing")
    except BaseException as failure:
        written = journal.read()
        if written is not None:
            _undo(stack, written, journal, failure)
        else:
            journal.close()
        raise
    journal.close()
    return units


def _journal_document(restore: Restore) -> dict[str, Any]:
    stack = restore.stack
    before = described(stack)
    existing = volumes_of(stack.engine, stack.identity)
    before |= {
        "config": restore.config.present().document(),
        "mounts": {volume.file: volume.name for volume in existing},
        "image": an_image(stack) if existing else "",
    }
    return {"kind": "restore", "before": before}


def _to_start(restore: Restore, *, start: bool | None) -> list[str]:
    stack = restore.stack
    if start is False:
        return []
    if start is None and stack.containers:
        return running_units(stack)
    return stack.graph.ordered()


def _save(stack: Stack, journal: RestoreJournal, progress: Progress) -> None:
    """Stop the stack and copy its volumes to this host."""
    progress.begin("stopping the stack")
    stack.stop()
    created = int(time.time())
    try:
        with drafted(journal.safety, PLAIN, created, single=False) as draft:
            parts = [
                draft.add(SPEC, [spec_text(stack.spec)]),
                *read_volumes(
                    stack,
                    draft,
                    volumes_of(stack.engine, stack.identity),
                    progress.prefixed("saving the existing data: "),
                ),
            ]
            manifest = Manifest(
                project=stack.identity.project,
                created=created,
                dockwright=__version__,
                compression=PLAIN.name,
                platform="",
                running=(),
                images=images_of(stack),
                parts=tuple(parts),
            )
            draft.finish(manifest)
    except DiskFullError as exc:
        raise DiskFullError(
            f"cannot save the existing data before the restore: {exc.message}",
            hint="free some space there, or set XDG_STATE_HOME to a directory with enough space",
        ) from exc


def _replace(restore: Restore, units: list[str], progress: Progress) -> None:
    stack = restore.stack
    if restore.existing:
        progress.begin("removing the existing stack")
    networks = [found["Id"] for found in stack.engine.list_networks(stack.identity.selector())]
    stack.kill(stack.processes)
    remove_all(stack.engine, stack.identity, keep_networks=networks)
    stack.containers.clear()
    stack.create_networks_and_volumes()
    for part in restore.archive.manifest.volumes:
        if ":" in part.volume:
            labels = stack.identity.volume_labels(part.volume)
            stack.engine.create_volume(restore.volumes[part.name], {"Labels": labels})
    _fill(restore, progress)
    restore.config.write()
    progress.begin("creating the containers")
    stack.create()
    if units:
        progress.begin("starting")
        start_whole(stack, units, listener=lambda _: None)


def _fill(restore: Restore, progress: Progress) -> None:
    """Fill the volumes before the containers exist: an image would fill an empty volume itself."""
    stack, parts = restore.stack, restore.archive.manifest.volumes
    if not parts:
        return
    mounts = {root_of(part): restore.volumes[part.name] for part in parts}
    image = next(iter(stack.ready_images.values())).id
    with helper(stack.engine, stack.identity, image, mounts, writable=True) as writer:
        for part in parts:
            progress.begin(f"writing volume {part.volume}", part.size)
            with ahead(restore.archive.content(part)) as chunks:
                writer.fill(root_of(part), progress.counted(chunks))


def _undo(
    stack: Stack, document: Mapping[str, Any], journal: RestoreJournal, failure: BaseException
) -> None:
    fresh = Stack(stack.spec, stack.engine, stack.identity, stack.options).attach()
    try:
        undo_restore(fresh, document, journal)
    except DockwrightError as problem:
        failures = [error for error in (failure, problem) if isinstance(error, Exception)]
        raise ExceptionGroup("the restore failed and could not be rolled back", failures) from None
