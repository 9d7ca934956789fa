"""What a stack was before a restore replaced it, as JSON; and how it is made again from that."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from dockwright.engine import Engine, parallel
from dockwright.errors import ImageMissingError, NoSuchObjectError
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
