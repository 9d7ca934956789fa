"""Backs up a long-lived stack: its volumes, its spec, its configuration."""

from __future__ import annotations

import io
import logging
import os
import re
import tarfile
import tempfile
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dockwright import __version__
from dockwright._text import format_size
from dockwright.compose import LoadOptions, load, to_yaml
from dockwright.engine import Engine, current_owner, ownership_labels, parallel
from dockwright.errors import EngineError, ImageMissingError, StackError, UsageError
from dockwright.managed.archive.layout import (
    CONFIG,
    MOST_TEXT_BYTES,
    SPEC,
    ZSTD,
    Codec,
    ImageOf,
    Manifest,
    Part,
)
from dockwright.managed.archive.write import Draft, draft_path, drafted
from dockwright.managed.backup_progress import Progress, ahead
from dockwright.managed.journal import RestoreJournal
from dockwright.model import Address, Ownership, ServiceSpec, StackSpec
from dockwright.reset import flush_to_disk
from dockwright.stack import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity, Stack

_log = logging.getLogger(__name__)

BACKUP = "backup"


@contextmanager
def paused_writers(
    stack: Stack, volumes: Collection[str], journal: RestoreJournal, draft: Path
) -> Iterator[None]:
    """Flush to disk, and pause every container of the stack that can write to its volumes.

    The volumes are then as after a power cut, all at the same moment: databases recover from that.

    Args:
        stack: the stack; containers that are stopped or already paused are left alone.
        volumes: the engine's names of the volumes.
        journal: lists the paused containers, in case the backup is killed.
        draft: where the backup is being written; also in the journal.
    """
    running = {
        name: document
        for name, document in _inspected(stack).items()
        if document["State"]["Running"] and not document["State"]["Paused"]
    }
    parallel.run([partial(_to_disk, stack, name, document) for name, document in running.items()])
    writers = [document["Id"] for document in running.values() if _writes(document, volumes)]
    journal.write({"kind": BACKUP, "paused": writers, "draft": str(draft)})
    try:
        with ExitStack() as paused:
            pause = stack.engine.paused
            parallel.run([partial(paused.enter_context, pause(writer)) for writer in writers])
            yield
    except BaseException:  # also Ctrl-C: leave nothing paused
        _resume(stack, writers, journal)
        raise
    journal.close()


def _resume(stack: Stack, paused: Collection[str], journal: RestoreJournal) -> None:
    """End a backup that failed; keep the journal if the engine does not answer."""
    try:
        unpause(stack.engine, paused)
    except (EngineError, ExceptionGroup):
        _log.warning(
            "stack %s may still be paused: the next `dockwright stack` command resumes it",
            stack.identity.project,
        )
    else:
        journal.close()


def unpause(engine: Engine, containers: Collection[str]) -> None:
    """Unpause containers; ignore those that are not paused or no longer exist."""
    # They are not inspected first: see `dockwright.engine.containers`.
    parallel.run([partial(engine.unpause_container, container) for container in containers])


def _inspected(stack: Stack) -> dict[str, Mapping[str, Any]]:
    names = list(stack.containers)
    inspect = stack.engine.inspect_container
    found = parallel.run([partial(inspect, stack.containers[name]) for name in names])
    return dict(zip(names, found, strict=True))


def _writes(document: Mapping[str, Any], volumes: Collection[str]) -> bool:
    return any(mount.get("Name") in volumes and mount["RW"] for mount in document["Mounts"])


def _to_disk(stack: Stack, name: str, document: Mapping[str, Any]) -> None:
    mounted = {
        str(mount["Destination"]): str(mount["Name"])
        for mount in document["Mounts"]
        if mount.get("Name")
    }
    if mounted:
        flush_to_disk(_Running(stack, name, mounted))


@dataclass(frozen=True, slots=True)
class _Running:
    """A running service, as `flush_to_disk` needs it; its image need not exist."""

    _stack: Stack
    _name: str
    _volumes: Mapping[str, str]

    @property
    def spec(self) -> ServiceSpec:
        return self._stack.spec.services[self._name]

    @property
    def engine(self) -> Engine:
        return self._stack.engine

    @property
    def scratch(self) -> Path:
        return self._stack.options.log_directory

    def container(self) -> str:
        return self._stack.container(self._name)

    def volumes(self) -> Mapping[str, str]:
        return self._volumes

    def layered(self) -> bool:
        return False

    def restore_volumes(self) -> bool:
        return False

    def address(self, port: int) -> Address:
        return self._stack.address(self._name, port)

    def environments(self) -> Sequence[Mapping[str, str]]:
        others = [each for name, each in self._stack.spec.services.items() if name != self._name]
        return [
            {name: value for name, value in each.environment.items() if value is not None}
            for each in others
        ]


ROOT = "config"
_READ_BYTES = 1 << 18


def config_tar(directory: Path) -> Iterator[bytes]:
    """Yield a tar of the plain files in a directory, with modes and times."""
    files = sorted(
        path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    )
    size = sum(file.stat().st_size + 3 * tarfile.BLOCKSIZE for file in files)
    if size > MOST_TEXT_BYTES:
        raise UsageError(
            f"{directory} contains {format_size(size)}; a backup takes at most "
            f"{format_size(MOST_TEXT_BYTES)} from a config directory",
            hint="move files that are not configuration elsewhere, for example into a volume",
        )
    for file in files:
        yield from _entry(file, f"{ROOT}/{file.relative_to(directory)}")
    yield bytes(2 * tarfile.BLOCKSIZE)


def _entry(file: Path, name: str) -> Iterator[bytes]:
    with file.open("rb") as stream, tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
        info = tar.gettarinfo(arcname=name, fileobj=stream)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = info.size
        while left and (data := stream.read(min(left, _READ_BYTES))):
            left -= len(data)
            yield data
        # A file that has become shorter meanwhile is padded: the tar must stay valid.
        yield bytes(left + -info.size % tarfile.BLOCKSIZE)


def spec_text(spec: StackSpec) -> bytes:
    """Return the spec as a Compose file: merged, with image names instead of builds.

    Names that are derived from the project name are left out, so that the project can be restored
    under another name.
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
    """Load what `spec_text` returned.

    Args:
        content: the Compose file.
        project: the project name.
        working_dir: the project's directory on this host.
        values: variables that the project takes from the environment when it starts.
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
    """Return a copy of a document that can be modified."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


VOLUME = "com.docker.compose.volume"
_ROOT = "/volumes"


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of the stack.

    Attributes:
        key: its name in the Compose file; ``SERVICE:TARGET`` if it has none.
        name: its name on the engine.
        file: the name of its part of a backup, and of the top directory in its tar.
    """

    key: str
    name: str
    file: str


def volumes_of(engine: Engine, identity: Identity) -> list[Volume]:
    """Return the existing volumes of the stack, found by their labels."""
    found = {
        str(volume["Labels"][VOLUME]): str(volume["Name"])
        for volume in engine.list_volumes(identity.selector())
        if VOLUME in volume["Labels"]
    }
    files = file_names(found)
    return [Volume(key, found[key], files[key]) for key in sorted(found)]


def file_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a unique file name for the key of each volume."""
    names: dict[str, str] = {}
    for key in sorted(keys):
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", key).strip("-.")[:80] or "volume"
        name, count = plain, 1
        while name.lower() in {taken.lower() for taken in names.values()}:
            count += 1
            name = f"{plain}-{count}"
        names[key] = name
    return names


class Helper:
    """A container that is never started, with volumes mounted side by side.

    Mounts of the services cannot hide anything, and it works with a remote engine.
    """

    def __init__(self, engine: Engine, container: str, mounts: Mapping[str, str]) -> None:
        self._engine = engine
        self._container = container
        self._mounts = mounts

    def read(self, file: str) -> Generator[bytes, None, None]:
        """Yield the tar of the volume with this file name, which is the tar's top directory."""
        return self._engine.volume_out(self._mounts[file], self._container, f"{_ROOT}/{file}")

    def fill(self, file: str, chunks: Iterable[bytes]) -> None:
        """Unpack a tar from `read` into the volume with this file name."""
        target = f"{_ROOT}/{file}"
        self._engine.volume_in(self._mounts[file], self._container, target, chunks)


def helper_project(project: str) -> str:
    """Return the project name of helpers: they are not part of the stack."""
    return f"{project}-helper"


@contextmanager
def helper(
    engine: Engine, identity: Identity, image: str, mounts: Mapping[str, str], *, writable: bool
) -> Iterator[Helper]:
    """Create a helper for volumes of a stack; remove it after the block.

    Args:
        engine: where to create it.
        identity: the stack.
        image: any image on the engine; it is never run.
        mounts: the engine's names of the volumes, by file name.
        writable: mount the volumes writable.
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
    """Remove the helpers that a killed command left; the caller holds the stack's lock."""
    for container in engine.list_containers({COMPOSE_PROJECT: helper_project(project)}):
        engine.remove_container(container["Id"])


def check_alone(engine: Engine, identity: Identity, volumes: Iterable[Volume]) -> None:
    """Check that only the stack uses its volumes: they are about to be replaced.

    Raises:
        StackError: another container mounts one of them.
    """
    own_labels = identity.selector().items()
    names = {volume.name for volume in volumes}
    for container in engine.list_containers({}):
        used = names & {mount.get("Name") for mount in container.get("Mounts") or ()}
        if used and not own_labels <= (container["Labels"] or {}).items():
            name = container["Names"][0].lstrip("/")
            raise StackError(
                f"volume {min(used)} is also used by container {name}, which is not part of "
                f"stack {identity.project}",
                hint=f"remove that container first (docker rm -f {name})",
            )


@dataclass(frozen=True, slots=True)
class BackupTarget:
    """Where and how to write a backup.

    Attributes:
        path: the file or directory.
        codec: how its parts are compressed.
        single: write one file instead of a directory.
        replace: replace an existing file or directory.
    """

    path: Path
    codec: Codec = ZSTD
    single: bool = True
    replace: bool = False

    def check(self) -> None:
        """Check that the backup may be written.

        Raises:
            UsageError: the path exists and must not be replaced.
        """
        if os.path.lexists(self.path) and not self.replace:
            raise UsageError(
                f"{self.path} already exists",
                hint="choose another name, or add --force to replace it",
            )


def back_up(
    stack: Stack, target: BackupTarget, progress: Progress, *, config: Path | None = None
) -> Manifest:
    """Write a backup of a running or stopped stack; pause what can write to it meanwhile.

    The caller holds the stack's lock (`exclusive`).

    Args:
        stack: an attached long-lived stack.
        target: where and how to write it.
        progress: shows the progress, and can cancel the backup.
        config: the stack's config directory; need not exist.

    Returns:
        The manifest of the backup.

    Raises:
        DockwrightError: the backup failed; nothing of it is left, and the stack runs on.
    """
    target.check()
    if not stack.containers and not stack.engine.list_volumes(stack.identity.data_selector()):
        raise StackError(
            f"nothing to back up: stack {stack.identity.project} has no containers or volumes",
            hint="start it first with `dockwright stack start`",
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
    progress.begin("pausing the stack")
    journal = RestoreJournal.of(stack.identity.project, stack.engine.endpoint.url)
    with paused_writers(stack, names, journal, path):
        return read_volumes(stack, draft, volumes, progress)


def read_volumes(
    stack: Stack, draft: Draft, volumes: list[Volume], progress: Progress
) -> list[Part]:
    """Write volumes as parts of a draft; nothing may change them meanwhile."""
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
    """Return any image of the stack that is on the engine, for a container that never runs.

    Raises:
        StackError: the engine has no image of the stack.
    """
    for container in stack.engine.list_containers(stack.identity.selector()):
        return str(container["ImageID"])
    for image in images_of(stack).values():
        if image.id:
            return image.id
    raise StackError(
        f"cannot read the volumes of stack {stack.identity.project}: the engine has none of its "
        "images, and at least one is needed for this",
        hint="start the stack once, or pull one of its images",
    )


def running_units(stack: Stack) -> list[str]:
    """Return the services and native processes that run, in start order."""
    listed = stack.engine.list_containers(stack.identity.selector(), all=False)
    services = {str(container["Labels"].get(COMPOSE_SERVICE)) for container in listed}
    processes = {name for name, process in stack.processes.items() if process.running}
    return [name for name in stack.graph.ordered() if name in services | processes]


def images_of(stack: Stack) -> dict[str, ImageOf]:
    """Return the image of each service: that of its container, or else the one with its name."""
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
