"""Puts a stack back to what it was before a restore, from its journal and its safety copy."""

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
from dockwright.managed.backup import BACKUP, ROOT, Helper, helper, let_go_on, remove_helpers
from dockwright.managed.backup_progress import ahead
from dockwright.managed.home import SECRETS, SETTINGS, InstalledSettings
from dockwright.managed.journal import RestoreJournal, exclusive
from dockwright.stack import COMPOSE_SERVICE, Identity, Stack, injected_targets

Document = Mapping[str, Any]  # the engine's own words, and ours about them

_VOLUME_KEYS = ("Name", "Driver", "Labels")
_ENDPOINT_KEYS = ("IPAMConfig", "Links", "DriverOpts")


def described(stack: Stack) -> dict[str, Any]:
    """Return what there is of a stack, enough to make it again but for its volumes' content."""
    engine, labels = stack.engine, stack.identity.selector()
    found = [each["Id"] for each in engine.list_containers(labels)]
    containers = parallel.run([partial(engine.inspect_container, each) for each in found])
    listed = engine.list_volumes(stack.identity.data_selector())
    volumes = [engine.inspect_volume(each["Name"]) for each in listed]
    return {
        "containers": [_kept(each, _injected(stack, each)) for each in containers],
        "volumes": [
            {key: each.get(key) for key in _VOLUME_KEYS} | {"DriverOpts": each.get("Options")}
            for each in volumes
        ],
        "networks": [each["Id"] for each in engine.list_networks(labels)],
        "processes": [name for name, process in stack.processes.items() if process.running],
    }


def _kept(document: Document, files: Mapping[str, str]) -> dict[str, Any]:
    keys = ("Id", "Name", "Image", "Config", "HostConfig")
    return {key: document[key] for key in keys} | {
        "Networks": document["NetworkSettings"]["Networks"],
        "Running": document["State"]["Running"],
        "StartedAt": document["State"]["StartedAt"],
        "Files": files,
    }


def _injected(stack: Stack, document: Document) -> dict[str, str]:
    """Return the files that dockwright put into a container: what its mounts do not hold."""
    service = document["Config"]["Labels"].get(COMPOSE_SERVICE)
    files: dict[str, str] = {}
    for target in injected_targets(stack.spec, service) if service in stack.spec.services else ():
        try:
            content = b"".join(stack.engine.archive_out(document["Id"], target))
        except NoSuchObjectError:
            continue  # it was made when the project did not ask for it yet
        files[target] = base64.b64encode(content).decode()
    return files


def made_volumes(engine: Engine, before: Document) -> None:
    """Create the volumes again, empty."""
    parallel.run([partial(engine.create_volume, each["Name"], each) for each in before["volumes"]])


def made_containers(engine: Engine, before: Document) -> list[str]:
    """Create the containers again; return those that ran, in the order in which they can start."""
    names = {each["Id"]: each["Name"].lstrip("/") for each in before["containers"]}
    ids: dict[str, str] = {}
    # Those that live in the namespaces of others come after these.
    for each in sorted(before["containers"], key=lambda each: len(_others(each))):
        ids[each["Id"]] = _make(engine, each, names)
    return [ids[old] for old in that_ran(before)]


def that_ran(before: Document) -> list[str]:
    """Return the former ids of the containers that ran, in the order in which they can start."""
    ran = [each for each in before["containers"] if each["Running"]]
    # Whose namespace another one lives in has to run before that.
    ran.sort(key=lambda each: (len(_others(each)), str(each["StartedAt"])))
    return [str(each["Id"]) for each in ran]


def _others(document: Document) -> list[str]:
    host = document["HostConfig"]
    modes = [str(host.get(key) or "") for key in ("NetworkMode", "IpcMode", "PidMode")]
    return [mode for mode in modes if mode.startswith("container:")] + (
        host.get("VolumesFrom") or []
    )


def _make(engine: Engine, document: Document, names: Mapping[str, str]) -> str:
    old = str(document["Id"])
    config = dict(document["Config"])
    config["Image"] = _image(engine, str(config["Image"]), str(document["Image"]))
    host = {key: _by_name(value, names) for key, value in document["HostConfig"].items()}
    mode = str(host.get("NetworkMode") or "")
    elsewhere = mode.startswith("container:")
    if elsewhere or config.get("Hostname") == old[:12]:
        del config["Hostname"]  # the engine's choice
    networks = {} if elsewhere else document["Networks"]
    endpoints = {name: _endpoint(each, old) for name, each in networks.items()}
    first = mode if mode in endpoints else next(iter(endpoints), "")
    body = config | {
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {first: endpoints[first]} if first else {}},
    }
    container = engine.create_container(names[old], body)
    for name in endpoints.keys() - {first}:
        engine.connect_network(name, container, endpoints[name])
    for target, content in document["Files"].items():
        parent = str(PurePosixPath(target).parent)
        engine.archive_in(container, parent, base64.b64decode(content))
    return container


def _image(engine: Engine, reference: str, image: str) -> str:
    """Return the name of the image, as long as it still means the same one."""
    try:
        return reference if engine.inspect_image(reference)["Id"] == image else image
    except ImageMissingError:
        return image


def _by_name(value: Any, names: Mapping[str, str]) -> Any:
    """Replace the ids of containers, which are gone, by their names."""
    if isinstance(value, list):
        return [_by_name(each, names) for each in value]
    if isinstance(value, str):
        for old, name in names.items():
            value = value.replace(old, name)
    return value


def _endpoint(found: Document, old: str) -> dict[str, Any]:
    endpoint = {key: found[key] for key in _ENDPOINT_KEYS if found.get(key)}
    aliases = [alias for alias in found.get("Aliases") or () if alias != old[:12]]
    return endpoint | ({"Aliases": aliases} if aliases else {})


def remove_all(engine: Engine, identity: Identity, *, keep_networks: Iterable[str]) -> None:
    """Remove the stack's containers, volumes and networks, whoever made them.

    Args:
        engine: where.
        identity: of the stack.
        keep_networks: the ids of networks that stay.
    """
    labels = identity.selector()
    found = [each["Id"] for each in engine.list_containers(labels)]
    parallel.run([partial(engine.remove_container, each) for each in found])
    volumes = engine.list_volumes(identity.data_selector())
    kept = set(keep_networks)
    networks = [each["Id"] for each in engine.list_networks(labels) if each["Id"] not in kept]
    parallel.run(
        [partial(engine.remove_volume, each["Name"]) for each in volumes]
        + [partial(engine.remove_network, each) for each in networks]
    )


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """Files for one config directory.

    Attributes:
        directory: where they belong.
        files: their contents by path below it; None: there is to be no such file.
    """

    directory: Path
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    def present(self) -> ConfigFiles:
        """Return what is in the places of these files now."""
        return ConfigFiles(self.directory, {name: self._read(name) for name in self.files})

    def changing(self) -> list[Path]:
        """Return the files that are there and would get another content."""
        return [
            self.directory / name
            for name, content in self.present().files.items()
            if content is not None and content != self.files[name]
        ]

    def write(self) -> None:
        """Put them in their places, each whole or not at all; only their owner may read them."""
        for name, content in self.files.items():
            place = self.directory / name
            if content is None:
                place.unlink(missing_ok=True)
                continue
            if not self.directory.exists():
                self.directory.mkdir(parents=True, mode=0o700)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(place, content, sync=True)

    def remove_empty(self) -> None:
        """Remove the directory if nothing is in it."""
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def document(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {
            "directory": str(self.directory),
            "files": {
                name: None if content is None else base64.b64encode(content).decode()
                for name, content in self.files.items()
            },
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> ConfigFiles:
        """Read what `document` returned."""
        files = {
            name: None if text is None else base64.b64decode(text)
            for name, text in document["files"].items()
        }
        return cls(Path(document["directory"]), files)

    def _read(self, name: str) -> bytes | None:
        place = self.directory / name
        return place.read_bytes() if place.is_file() else None


def archived_config(archive: Archive) -> dict[str, bytes]:
    """Return the files of the archived config directory, by path; none where it has none."""
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
        place = Path(directory) / SECRETS
        place.write_bytes(files[SECRETS])
        found = read_env_file(place, {})
    return {name: value for name, value in found.items() if value is not None}


def for_project(
    files: Mapping[str, bytes], directory: Path, project: str, compose: tuple[Path, ...]
) -> ConfigFiles:
    """Return what of an archived config directory belongs into that of a project.

    Args:
        files: the archived config directory.
        directory: the project's.
        project: its name.
        compose: its Compose files; settings that tell of others are left out.
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
        settings: name the project, and that file in the config directory.
    """
    return ConfigFiles(
        settings.directory, {**files, SPEC: spec_text, SETTINGS: settings.to_toml().encode()}
    )


_log = logging.getLogger(__name__)

SAVING, REPLACING = "saving", "replacing"


def recover(stack: Stack) -> None:
    """Undo what a killed backup or restore of this stack left half done, if one did.

    Args:
        stack: the stack; it is attached anew where something was done.

    Raises:
        StackError: it could not be undone.
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
                "it goes on" if kind == BACKUP else "its former state is put back",
            )
            if kind == BACKUP:
                _undo_backup(stack, document, journal)
            else:
                undo_restore(stack, document, journal)
    except StackBusyError:
        return  # it was not killed: it is at work
    stack.attach()


def _undo_backup(stack: Stack, document: Mapping[str, Any], journal: RestoreJournal) -> None:
    let_go_on(stack.engine, document["paused"])
    remove_helpers(stack.engine, stack.identity.project)
    sweep(Path(document["draft"]).parent)
    journal.close()


def undo_restore(stack: Stack, document: Mapping[str, Any], journal: RestoreJournal) -> None:
    """Put everything back; may be repeated where it was killed itself.

    Args:
        stack: a stack of this identity that is not used for anything else.
        document: what the journal says.
        journal: is closed when all is done.

    Raises:
        StackError: it failed; the journal and the safety copy stay.
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
            f"the former state of stack {stack.identity.project} could not be put back: {failure}",
            hint=f"its data is safe in {journal.safety}; every `dockwright stack` command on this "
            "stack tries again",
        ) from failure
    journal.close()


def _put_back(stack: Stack, before: Mapping[str, Any], journal: RestoreJournal) -> list[str]:
    engine = stack.engine
    remove_all(engine, stack.identity, keep_networks=before["networks"])
    made_volumes(engine, before)
    if before["volumes"]:
        _fill_from(open_archive(journal.safety), stack, before)
    config = ConfigFiles.parse(before["config"])
    config.write()
    config.remove_empty()
    return made_containers(engine, before)


def _fill_from(safety: Archive, stack: Stack, before: Mapping[str, Any]) -> None:
    mounts = before["mounts"]
    with helper(stack.engine, stack.identity, before["image"], mounts, writable=True) as writer:
        parallel.run([partial(_fill, writer, safety, part) for part in safety.manifest.volumes])


def _fill(writer: Helper, safety: Archive, part: Part) -> None:
    with ahead(safety.content(part)) as chunks:
        writer.fill(root_of(part), chunks)
