"""Puts a stack back as it was before a restore, from its journal and its safety copy."""

from __future__ import annotations

import base64
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from dockwright._files import write_file
from dockwright.compose import read_env_file
from dockwright.engine import Engine, parallel
from dockwright.errors import (
    DockwrightError,
    ImageMissingError,
    NoSuchObjectError,
    StackBusyError,
    StackError,
)
from dockwright.managed.archive.layout import CONFIG, SPEC, Part
from dockwright.managed.archive.read import Archive, open_archive, root_of
from dockwright.managed.archive.write import sweep
from dockwright.managed.archive_tar import TarReader
from dockwright.managed.backup import BACKUP, ROOT, Helper, helper, remove_helpers, unpause
from dockwright.managed.backup_progress import ahead
from dockwright.managed.home import SECRETS, SETTINGS, InstalledSettings
from dockwright.managed.journal import RestoreJournal, exclusive
from dockwright.stack import COMPOSE_SERVICE, Identity, Stack, injected_targets

Document = Mapping[str, Any]  # JSON of the engine, or of the journal

_VOLUME_KEYS = ("Name", "Driver", "Labels")
_ENDPOINT_KEYS = ("IPAMConfig", "Links", "DriverOpts")


def described(stack: Stack) -> dict[str, Any]:
    """Return a description of a stack from which it can be created again, except for its data."""
    engine, labels = stack.engine, stack.identity.selector()
    inspect = engine.inspect_container
    containers = parallel.run(
        [partial(inspect, found["Id"]) for found in engine.list_containers(labels)]
    )
    listed = engine.list_volumes(stack.identity.data_selector())
    volumes = [engine.inspect_volume(volume["Name"]) for volume in listed]
    return {
        "containers": [
            _container_part(container, _injected(stack, container)) for container in containers
        ],
        "volumes": [
            {key: volume.get(key) for key in _VOLUME_KEYS} | {"DriverOpts": volume.get("Options")}
            for volume in volumes
        ],
        "networks": [network["Id"] for network in engine.list_networks(labels)],
        "processes": [name for name, process in stack.processes.items() if process.running],
    }


def _container_part(document: Document, files: Mapping[str, str]) -> dict[str, Any]:
    keys = ("Id", "Name", "Image", "Config", "HostConfig")
    return {key: document[key] for key in keys} | {
        "Networks": document["NetworkSettings"]["Networks"],
        "Running": document["State"]["Running"],
        "StartedAt": document["State"]["StartedAt"],
        "Files": files,
    }


def _injected(stack: Stack, document: Document) -> dict[str, str]:
    """Return the files that dockwright copied into a container, which are not in its mounts."""
    service = document["Config"]["Labels"].get(COMPOSE_SERVICE)
    files: dict[str, str] = {}
    for target in injected_targets(stack.spec, service) if service in stack.spec.services else ():
        try:
            content = b"".join(stack.engine.archive_out(document["Id"], target))
        except NoSuchObjectError:
            continue  # the container is older than the declaration of this file
        files[target] = base64.b64encode(content).decode()
    return files


def create_volumes(engine: Engine, before: Document) -> None:
    """Create the volumes again, empty."""
    parallel.run(
        [partial(engine.create_volume, volume["Name"], volume) for volume in before["volumes"]]
    )


def create_containers(engine: Engine, before: Document) -> list[str]:
    """Create the containers again; return the ids of those that ran, in start order."""
    names = {old["Id"]: old["Name"].lstrip("/") for old in before["containers"]}
    ids: dict[str, str] = {}
    # A container that uses the namespaces of others is created after these.
    for old in sorted(before["containers"], key=lambda old: len(_dependencies(old))):
        ids[old["Id"]] = _create(engine, old, names)
    return [ids[old] for old in that_ran(before)]


def that_ran(before: Document) -> list[str]:
    """Return the former ids of the containers that ran, in start order."""
    ran = [container for container in before["containers"] if container["Running"]]
    # A container that uses the namespaces of others starts after these.
    ran.sort(key=lambda container: (len(_dependencies(container)), str(container["StartedAt"])))
    return [str(container["Id"]) for container in ran]


def _dependencies(document: Document) -> list[str]:
    host = document["HostConfig"]
    modes = [str(host.get(key) or "") for key in ("NetworkMode", "IpcMode", "PidMode")]
    return [mode for mode in modes if mode.startswith("container:")] + (
        host.get("VolumesFrom") or []
    )


def _create(engine: Engine, document: Document, names: Mapping[str, str]) -> str:
    old = str(document["Id"])
    config = dict(document["Config"])
    config["Image"] = _image(engine, str(config["Image"]), str(document["Image"]))
    host = {key: _by_name(value, names) for key, value in document["HostConfig"].items()}
    mode = str(host.get("NetworkMode") or "")
    borrowed = mode.startswith("container:")
    if borrowed or config.get("Hostname") == old[:12]:
        del config["Hostname"]  # the engine chose it
    networks = {} if borrowed else document["Networks"]
    endpoints = {name: _endpoint(found, old) for name, found in networks.items()}
    body = config | {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints}}
    container = engine.create_container(names[old], body)
    for target, content in document["Files"].items():
        parent = str(PurePosixPath(target).parent)
        engine.archive_in(container, parent, base64.b64decode(content))
    return container


def _image(engine: Engine, reference: str, image: str) -> str:
    """Return the name of the image if it still means the same image, else the image's id."""
    try:
        return reference if engine.inspect_image(reference)["Id"] == image else image
    except ImageMissingError:
        return image


def _by_name(value: Any, names: Mapping[str, str]) -> Any:
    """Replace the ids of containers, which no longer exist, with their names."""
    if isinstance(value, list):
        return [_by_name(entry, names) for entry in value]
    if isinstance(value, str):
        for old, name in names.items():
            value = value.replace(old, name)
    return value


def _endpoint(found: Document, old: str) -> dict[str, Any]:
    endpoint = {key: found[key] for key in _ENDPOINT_KEYS if found.get(key)}
    aliases = [alias for alias in found.get("Aliases") or () if alias != old[:12]]
    return endpoint | ({"Aliases": aliases} if aliases else {})


def remove_all(engine: Engine, identity: Identity, *, keep_networks: Iterable[str]) -> None:
    """Remove the stack's containers, volumes and networks.

    Args:
        engine: where the stack is.
        identity: the stack.
        keep_networks: the ids of networks to keep.
    """
    labels = identity.selector()
    containers = engine.list_containers(labels)
    parallel.run([partial(engine.remove_container, found["Id"]) for found in containers])
    volumes = engine.list_volumes(identity.data_selector())
    networks = {network["Id"] for network in engine.list_networks(labels)} - set(keep_networks)
    parallel.run(
        [partial(engine.remove_volume, volume["Name"]) for volume in volumes]
        + [partial(engine.remove_network, network) for network in networks]
    )


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """Files for one config directory.

    Attributes:
        directory: the config directory.
        files: contents by path below it; None: the file must not exist.
    """

    directory: Path
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    def present(self) -> ConfigFiles:
        """Return the current contents of these files."""
        return ConfigFiles(self.directory, {name: self._read(name) for name in self.files})

    def changing(self) -> list[Path]:
        """Return the existing files whose content would change."""
        return [
            self.directory / name
            for name, content in self.present().files.items()
            if content is not None and content != self.files[name]
        ]

    def write(self) -> None:
        """Write the files, each completely or not at all; only their owner may read them."""
        for name, content in self.files.items():
            path = self.directory / name
            if content is None:
                path.unlink(missing_ok=True)
                continue
            if not self.directory.exists():
                self.directory.mkdir(parents=True, mode=0o700)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(path, content, sync=True)

    def remove_empty(self) -> None:
        """Remove the directory if it is empty."""
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def document(self) -> dict[str, Any]:
        """Return the files as JSON."""
        return {
            "directory": str(self.directory),
            "files": {
                name: None if content is None else base64.b64encode(content).decode()
                for name, content in self.files.items()
            },
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> ConfigFiles:
        """Return the files from what `document` returned."""
        files = {
            name: None if text is None else base64.b64decode(text)
            for name, text in document["files"].items()
        }
        return cls(Path(document["directory"]), files)

    def _read(self, name: str) -> bytes | None:
        path = self.directory / name
        return path.read_bytes() if path.is_file() else None


def archived_config(archive: Archive) -> dict[str, bytes]:
    """Return the files of the archived config directory by path; empty if there is none."""
    part = archive.manifest.part(CONFIG)
    if part is None:
        return {}
    tar = TarReader(iter([archive.text(part)]))
    return {
        member.name.removeprefix(f"{ROOT}/"): tar.content(member)
        for member in tar.members()
        if member.kind == "file"
    }


def secret_values(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the variables that the archived secrets file sets."""
    if SECRETS not in files:
        return {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / SECRETS
        file.write_bytes(files[SECRETS])
        found = read_env_file(file, {})
    return {name: value for name, value in found.items() if value is not None}


def for_project(
    files: Mapping[str, bytes], directory: Path, project: str, compose: tuple[Path, ...]
) -> ConfigFiles:
    """Return the files of an archived config directory that fit a project.

    Args:
        files: the archived config directory.
        directory: the config directory of the project.
        project: its name.
        compose: its Compose files; settings for other files are left out.
    """
    kept: dict[str, bytes | None] = dict(files)
    if SETTINGS in files:
        settings = InstalledSettings.parse(files[SETTINGS].decode(errors="replace"), Path(SETTINGS))
        if (settings.project, settings.files) != (project, compose):
            del kept[SETTINGS]
    return ConfigFiles(directory, kept)


def for_archived_spec(
    files: Mapping[str, bytes], spec_text: bytes, settings: InstalledSettings
) -> ConfigFiles:
    """Return the config directory of a stack that is restored without its project's files.

    Args:
        files: the archived config directory.
        spec_text: the Compose file that the backup holds.
        settings: the new settings, which name that file in the config directory.
    """
    return ConfigFiles(
        settings.directory, {**files, SPEC: spec_text, SETTINGS: settings.to_toml().encode()}
    )


_log = logging.getLogger(__name__)

SAVING, REPLACING = "saving", "replacing"


def recover(stack: Stack) -> None:
    """Undo what a killed backup or restore of this stack left half done, if anything.

    Args:
        stack: the stack; attached again if something was undone.

    Raises:
        StackError: something could not be undone.
    """
    project = stack.identity.project
    journal = RestoreJournal.of(project, stack.engine.endpoint.url)
    if not journal.exists():
        return
    try:
        with exclusive(project, what="recovery"):
            document = journal.read()
            if document is None:
                journal.close()
                return
            kind = document["kind"]
            _log.warning(
                "a %s of stack %s was killed: %s",
                kind,
                project,
                "resuming the stack" if kind == BACKUP else "putting its previous state back",
            )
            if kind == BACKUP:
                _undo_backup(stack, document, journal)
            else:
                undo_restore(stack, document, journal)
    except StackBusyError:
        return  # the command was not killed: it is still running
    stack.attach()


def _undo_backup(stack: Stack, document: Mapping[str, Any], journal: RestoreJournal) -> None:
    unpause(stack.engine, document["paused"])
    remove_helpers(stack.engine, stack.identity.project)
    sweep(Path(document["draft"]).parent)
    journal.close()


def undo_restore(stack: Stack, document: Mapping[str, Any], journal: RestoreJournal) -> None:
    """Put the stack back as it was; can be repeated if it is killed.

    Args:
        stack: a `Stack` that is not used for anything else.
        document: the content of the journal.
        journal: closed when everything is done.

    Raises:
        StackError: it failed; the journal and the safety copy are kept.
    """
    try:
        remove_helpers(stack.engine, stack.identity.project)
        before = document["before"]
        started = that_ran(before)
        stack.kill(stack.processes)
        if document["phase"] == REPLACING:
            started = _put_back(stack, before, journal)
        for container in started:
            stack.engine.start_container(container)
        stack.attach()
        stack.launch(before["processes"])
    except (DockwrightError, ExceptionGroup, OSError) as failure:
        raise StackError(
            f"cannot put back the previous state of stack {stack.identity.project}: {failure}",
            hint=f"its data is safe in {journal.safety}; the next `dockwright stack` command for "
            "this stack tries again",
        ) from failure
    journal.close()


def _put_back(stack: Stack, before: Mapping[str, Any], journal: RestoreJournal) -> list[str]:
    engine = stack.engine
    remove_all(engine, stack.identity, keep_networks=before["networks"])
    create_volumes(engine, before)
    if before["volumes"]:
        _fill_from(open_archive(journal.safety), stack, before)
    config = ConfigFiles.parse(before["config"])
    config.write()
    config.remove_empty()
    return create_containers(engine, before)


def _fill_from(safety: Archive, stack: Stack, before: Mapping[str, Any]) -> None:
    mounts = before["mounts"]
    with helper(stack.engine, stack.identity, before["image"], mounts, writable=True) as writer:
        parallel.run([partial(_fill, writer, safety, part) for part in safety.manifest.volumes])


def _fill(writer: Helper, safety: Archive, part: Part) -> None:
    with ahead(safety.content(part)) as chunks:
        writer.fill(root_of(part), chunks)
