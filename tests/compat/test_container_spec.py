"""What a suite asks the Docker SDK for, as a stack of one service that says the same."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from docker.types import Healthcheck, Ulimit

from dockwright.compat.container_spec import (
    ContainerRequest,
    ContainerSpec,
    NotLeasableError,
    container_spec,
    service_name,
)
from dockwright.compose import LoadOptions, load
from dockwright.model import ServiceSpec

PORTS: dict[str, Any] = {"8080": None}


def spec_of(image: str = "busybox:1", **arguments: Any) -> ContainerSpec:
    return container_spec(ContainerRequest(image, {"ports": PORTS, **arguments}), "box")


def loaded(tmp_path: Path, spec: ContainerSpec) -> ServiceSpec:
    """Return the service as dockwright loads it from the file that is written for it."""
    file = tmp_path / "compose.yaml"
    file.write_text(json.dumps(spec.document))
    return load(LoadOptions(files=(file,), environ={})).services["box"]


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o640
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_the_compose_file_describes_the_requested_container(tmp_path: Path) -> None:
    service = loaded(
        tmp_path,
        spec_of(
            command="sh -c 'echo $HOME'",
            entrypoint=["/init", "--"],
            environment={"PRICE": "5$", "N": 1, "RAW": b"x"},
            user=1000,
            working_dir="/srv",
            hostname="box",
            tmpfs={"/run": "", "/cache": "64m", "/data": "size=1g,uid=5"},
            volumes={"/etc/hosts": {"bind": "/hosts", "mode": "ro"}},
            extra_hosts={"other": "10.0.0.1"},
            mem_limit="64m",
            nano_cpus=500_000_000,
            cap_add=["NET_ADMIN"],
            shm_size=1 << 20,
            init=True,
            healthcheck=Healthcheck(test=["CMD", "true"], interval=1_000_000_000, retries=2),
            ulimits=[Ulimit(name="nofile", soft=10, hard=20)],
            labels={"mine": "yes", "org.testcontainers.session-id": "one of this process"},
        ),
    )
    config = service.config
    assert list(config["command"]) == ["sh", "-c", "echo $HOME"]
    assert list(config["entrypoint"]) == ["/init", "--"]
    assert service.environment == {"PRICE": "5$", "N": "1", "RAW": "x"}
    assert (config["user"], config["working_dir"], config["hostname"]) == ("1000", "/srv", "box")
    assert [(each.number, each.published) for each in service.ports] == [(8080, "")]
    assert [(each.source, each.target, each.read_only) for each in service.mounts] == [
        ("/etc/hosts", "/hosts", True)
    ]
    assert config["labels"] == {"mine": "yes"}
    assert service.network_mode == "bridge"


def test_two_processes_ask_for_the_same_container() -> None:
    one = spec_of(environment={"A": "1"}, labels={"org.testcontainers.session-id": "one"})
    other = spec_of(environment={"A": "1"}, labels={"org.testcontainers.session-id": "other"})
    assert one.digest == other.digest
    assert one.digest != spec_of(environment={"A": "2"}).digest


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "mine"}, "it has a name of its own, 'mine'"),
        ({"auto_remove": True}, "it removes itself when it ends (auto_remove=True)"),
        ({"ports": {}}, "it publishes no port, so nothing is gained by keeping it"),
        ({"ports": {"80/tcp": 8080}}, "it has a host port of its own, 8080"),
        ({"ports": {"80": ("10.0.0.1", 81)}}, "it has a host port of its own, 81"),
        (
            {"volumes": {"/srv/data": {"bind": "/data", "mode": "rw"}}},
            "it may write to /srv/data, which outlives it",
        ),
        ({"volumes": {"data": {"bind": "/data", "mode": "ro"}}}, "it uses the volume data"),
        ({"restart_policy": {"Name": "always"}}, "a pooled container cannot have restart_policy="),
        (
            {"environment": {"A": None}},
            "a pooled container cannot have the variable A without a value",
        ),
        ({"network": "shop"}, "it may need its network while it starts"),
    ],
)
def test_a_container_that_cannot_be_leased_has_a_reason(
    arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotLeasableError) as caught:
        spec_of(**arguments)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("image", "port", "environment", "database"),
    [
        ("registry.example/our-postgres:15", "5432/tcp", {"POSTGRES_USER": "shop"}, True),
        ("mariadb:10.11", 3306, {"MYSQL_DATABASE": "shop"}, True),
        ("mariadb:10.11", 3306, {"MARIADB_DATABASE": "shop"}, True),
        ("example/redis-stack:7", "6379", {}, True),
        ("redis:7", "8001", {}, False),
        ("postgres:15", "5432", {}, False),
        ("nginx", "80", {}, False),
    ],
)
def test_a_database_is_recognised_by_its_port_and_variables(
    image: str, port: str, environment: dict[str, str], database: bool
) -> None:
    spec = spec_of(image, ports={port: None}, environment=environment)
    assert spec.database is database
    ours = spec.document["services"]["box"].get("x-dockwright")
    assert ours == (None if database else {"reset": "recreate", "ready": "running", "cache": False})


def test_a_database_leaves_its_network_to_the_lease() -> None:
    spec = spec_of("redis:7", ports={"6379": None}, network="shop")
    assert spec.digest == spec_of("redis:7", ports={"6379": None}).digest


def test_files_that_are_copied_into_it_are_part_of_it(tmp_path: Path) -> None:
    files = (("/", tar_of(**{"etc/a.conf": b"x = ${X}\n"})), ("/init/", tar_of(b=b"b")))
    spec = container_spec(ContainerRequest("busybox:1", {"ports": PORTS}, files), "box")
    service = loaded(tmp_path, spec)
    assert [(each.target, each.content, each.mode) for each in service.files] == [
        ("/etc/a.conf", "x = ${X}\n", 0o640),
        ("/init/b", "b", 0o640),
    ]


@pytest.mark.parametrize("content", [b"\xff", b""])
def test_a_container_with_an_empty_or_binary_file_is_not_leased(
    content: bytes,
) -> None:
    with pytest.raises(NotLeasableError, match=r"a file that is empty or not text \(b\)"):
        container_spec(
            ContainerRequest("busybox:1", {"ports": PORTS}, (("/", tar_of(b=content)),)), "box"
        )


@pytest.mark.parametrize(
    ("kind", "image", "name"),
    [
        ("PostgresContainer", "postgres:15", "postgres"),
        ("DockerContainer", "registry.example:5000/team/My_App:3", "my-app"),
        ("Database", "x", "database"),
    ],
)
def test_a_service_is_called_as_its_class_or_its_image(kind: str, image: str, name: str) -> None:
    assert service_name(kind, image) == name
