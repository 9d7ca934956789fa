"""A small stack with data, and images of several versions to update it to."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockwright.engine import BuildRequest
from tests._support.project import Project, plain_service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockwright.engine import Engine

# It refuses to run on data that says so, and has all that a container may get from its project.
WEB = plain_service(
    "web",
    "test ! -e /data/bad || exit 3; exec tail -f /dev/null",
    [
        "healthcheck: {test: [CMD, test, '!', -e, /data/bad], interval: 1s}",
        "volumes: ['data:/data', '/srv/anonymous']",
        "environment: {COLOUR: green}",
        "configs: [{source: greeting, target: /etc/greeting, mode: 0400}]",
        "networks: {front: {aliases: [shopfront]}, back: {}}",
        "ports: ['127.0.0.1::80']",
        "working_dir: /tmp",
    ],
)
SIDE = plain_service(
    "side", "exec tail -f /dev/null", ["network_mode: 'service:web'", "volumes: ['data:/data:ro']"]
)
REST = (
    "volumes: {data: {}}\nnetworks: {front: {}, back: {}}\n"
    "configs: {greeting: {content: 'hello $$you'}}"
)


def write_shop(project: Project) -> None:
    """Write the Compose file."""
    project.write(f"{WEB}\n{SIDE}", REST)


def put(project: Project, script: str) -> None:
    """Run a shell script in the web container, to change the data."""
    result = project.engine.exec(project.container("web"), ["sh", "-ec", script])
    assert result.exit_code == 0, result.stderr


MAKE_DATA = (
    "cd /data; mkdir -p a/b; echo one >a/one; ln -s one a/link; ln a/one a/hard; chmod 4711 a/b;"
    "chown 12:34 a; touch -t 200102030405 a/b; echo x >'a/b/na me'; ln -s /data/a within;"
    "echo anon >/srv/anonymous/file"
)


def data_of(engine: Engine, container: str, *places: str) -> dict[str, tuple[object, ...]]:
    """Return all that volumes hold, by path: kind, mode, owner, time, link, content."""
    found: dict[str, tuple[object, ...]] = {}
    for place in places or ("/data", "/srv/anonymous"):
        content = b"".join(engine.archive_out(container, place))
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                digest = hashlib.sha256(stream.read()).hexdigest() if stream else ""
                found[f"{place}:{member.name}"] = (
                    member.type,
                    member.mode,
                    (member.uid, member.gid),
                    int(member.mtime),
                    member.linkname,
                    digest,
                )
    return found


def shop_data(project: Project) -> dict[str, tuple[object, ...]]:
    """Return all that the stack's volumes hold."""
    return data_of(project.engine, project.container("web"))


def containers_of(project: Project) -> dict[str, Mapping[str, Any]]:
    """Return what the containers are made of, by name, without what every one has anew."""
    found: dict[str, Mapping[str, Any]] = {}
    listed = project.engine.list_containers(project.labels)
    names = {each["Id"]: each["Names"][0] for each in listed}
    for container in names:
        document = project.engine.inspect_container(container)
        host = document["HostConfig"]
        kind, _, other = host["NetworkMode"].partition(":")
        host["NetworkMode"] = (kind, names.get(other, other))
        config = document["Config"]
        del config["Hostname"], config["Labels"]["dev.dockwright.created"]
        networks = {
            name: sorted(set(each.get("Aliases") or ()) - {document["Id"][:12]})
            for name, each in document["NetworkSettings"]["Networks"].items()
        }
        found[document["Name"]] = {
            "Config": config,
            "HostConfig": host,
            "Networks": networks,
            "State": document["State"]["Status"],
            "Image": document["Image"],
            "Mounts": sorted(each.get("Name", "") for each in document["Mounts"]),
        }
    return found


def left_in_state(project: Project) -> list[str]:
    """Name what backups and restores left in the state directory: journals and safety copies."""
    stacks = Path(project.environ["XDG_STATE_HOME"]) / "dockwright" / "stacks"
    kept = (".images.json", ".lock")  # a lock's file is no lock
    return [each.name for each in stacks.glob("*") if not each.name.endswith(kept)]


def helpers_of(project: Project) -> list[str]:
    """Name the helper containers of the project that are still there."""
    labels = {"com.docker.compose.project": f"{project.name}-helper"}
    return [each["Id"] for each in project.engine.list_containers(labels)]


def differences(before: object, after: object, path: str = "") -> list[str]:
    """Return where two nested documents differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    return [] if before == after else [f"{path}: {before} != {after}"]


def build_version(engine: Engine, base: str, tag: str, version: str, context: Path) -> str:
    """Build an image that holds its version in ``/version``; return its id."""
    (context / "version").write_text(version)
    dockerfile = f"FROM {base}\nCOPY version /version\n"
    return engine.build_image(BuildRequest(context, (tag,), dockerfile_inline=dockerfile))
