"""Our containers are those that Docker Compose makes of the same file."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import Engine
from dockwright.model import Ownership, StackSpec
from dockwright.stack import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity, Stack, StackOptions
from dockwright.stack.create import Creator, Existing
from dockwright.stack.graph import creation_waves
from dockwright.stack.host_ports import FreePorts, HostPorts
from dockwright.stack.images import Images, ImageWatch
from tests._support.compose.reference import reference_tool

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(reference_tool() is None, reason="scripts/ensure-compose fetches Compose"),
]

FILE = Path(__file__).parent / "kitchen_sink" / "compose.yaml"

# Ids, times and what differs only in how the same thing is spelt.
_OWN = {"Hostname", "AttachStdout", "AttachStderr", "Labels", "Mounts"}
_SECTIONS = ("Config", "HostConfig")


@pytest.fixture
def spec(scratch: str, unique_name: str, monkeypatch: pytest.MonkeyPatch) -> StackSpec:
    monkeypatch.setenv("IMAGE", scratch)
    return load(LoadOptions(files=(FILE,), project_name=unique_name))


def inspected(engine: Engine, project: str) -> dict[str, dict[str, Any]]:
    found = engine.list_containers({COMPOSE_PROJECT: project})
    return {each["Labels"][COMPOSE_SERVICE]: engine.inspect_container(each["Id"]) for each in found}


@pytest.fixture
def theirs(engine: Engine, spec: StackSpec, unique_name: str) -> dict[str, Any]:
    """What Compose creates."""
    tool = [*(reference_tool() or ()), "-f", str(FILE), "-p", unique_name]
    try:
        subprocess.run([*tool, "create"], check=True, capture_output=True, text=True)
        documents = inspected(engine, unique_name)
    finally:  # before ours: both want the same subnet
        subprocess.run([*tool, "down", "-v"], check=True, capture_output=True)
    return documents


@pytest.fixture
def ours(
    engine: Engine, spec: StackSpec, unique_name: str, theirs: object, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """What dockwright creates, under the same names."""
    ownership = Ownership("persistent", "test", "default", None, time.time(), "0")
    identity = Identity(unique_name, ownership, isolated=False)
    stack = Stack(spec, engine, identity, StackOptions(log_directory=tmp_path))
    host_ports = HostPorts("free", FreePorts(), local=True)
    creator = Creator(engine, spec, identity, stack.addresses, host_ports)
    images = Images(engine)
    try:
        creator.networks_and_volumes(Existing())
        for wave in creation_waves(spec):
            for name in wave:
                service = spec.services[name]
                creator.container(service, images.ensure(spec, service, ImageWatch()))
        yield inspected(engine, unique_name)
    finally:
        stack.remove()


def comparable(document: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Return the parts that must be equal, ids replaced by service names, empty values dropped."""
    text = json.dumps({section: document[section] for section in _SECTIONS})
    for identifier, service in ids.items():
        text = text.replace(identifier, f"<{service}>")
    sections: dict[str, dict[str, Any]] = json.loads(text)
    for section in sections.values():
        for key in [key for key, value in section.items() if key in _OWN or not value]:
            del section[key]
    host = sections["HostConfig"]
    if host["RestartPolicy"]["Name"] == "":
        host["RestartPolicy"]["Name"] = "no"
    host["ExtraHosts"] = sorted(host.get("ExtraHosts", []))  # at random there
    host["VolumesFrom"] = sorted(text.split(":")[0] for text in host.get("VolumesFrom", []))
    for value in host.values():
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            value.sort(key=json.dumps)
    sections["Config"].get("Env", []).sort()
    ports = sections["Config"].get("ExposedPorts", {})
    sections["Config"]["ExposedPorts"] = sorted(port.removesuffix("/tcp") for port in ports)
    sections["Mounts"] = {
        mount["Destination"]: (mount["Type"], mount["RW"], mount.get("Name", mount["Source"]))
        for mount in document["Mounts"]
        if mount["Destination"] != "/anon"  # anonymous there, named here so that it can be found
    }
    return sections


def networks(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (
            {alias for alias in endpoint["Aliases"] or [] if not document["Id"].startswith(alias)},
            endpoint["IPAMConfig"] or {},
            # Compose adds links under two more names of its own making.
            {link for link in endpoint["Links"] or [] if not link.endswith("-1")},
        )
        for name, endpoint in document["NetworkSettings"]["Networks"].items()
    }


def test_the_kitchen_sink_becomes_the_same_containers(
    theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    assert set(ours) == set(theirs) == {"web", "db", "web2", "host", "none"}
    their_ids = {document["Id"]: name for name, document in theirs.items()}
    our_ids = {document["Id"]: name for name, document in ours.items()}
    db_name = ours["db"]["Name"].lstrip("/")
    our_ids[db_name] = "db"
    their_ids[db_name] = "db"
    for name in theirs:
        assert comparable(ours[name], our_ids) == comparable(theirs[name], their_ids), name
        assert networks(ours[name]) == networks(theirs[name]), name
