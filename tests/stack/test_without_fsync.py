"""Databases of disposable copies do not wait for the disk; those whose data must last do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.stack.container_config import BodyContext, container_body
from dockwright.stack.create import without_fsync
from dockwright.stack.images import ReadyImage
from dockwright.stack.naming import Names
from tests.stack.conftest import StackMaker

OFFICIAL = {
    "Entrypoint": ["docker-entrypoint.sh"],
    "Cmd": ["postgres"],
    "Env": ["PATH=/usr/bin", "PG_MAJOR=15"],
}
SETTINGS = ["-c", "fsync=off", "-c", "autovacuum=off"]
ALTERED = ["postgres", *SETTINGS]


def altered(
    directory: Path, service: str, top: str = "", image: Mapping[str, Any] = OFFICIAL
) -> Mapping[str, Any]:
    """Return what differs in the container's body from what the file says."""
    (directory / "compose.yaml").write_text(
        f"services:\n  db: {{image: postgres:15, {service}}}\n{top}"
    )
    spec = load(LoadOptions(files=(directory / "compose.yaml",)))
    names = Names(spec, "copy", isolated=True)
    db = spec.services["db"]
    body = container_body(db, BodyContext(names=names, image="postgres:15", labels={}))
    changed = without_fsync(body, db, ReadyImage("postgres:15", {"Config": image}), names)
    return {key: value for key, value in changed.items() if value != body.get(key)}


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("", ALTERED),
        ("command: postgres -c max_connections=9", ["postgres", "-c", "max_connections=9"]),
        ("command: -c max_connections=9", ["postgres", "-c", "max_connections=9"]),
        ("volumes: ['data:/var/lib/postgresql/data', './init:/init:ro']", ["postgres"]),
    ],
)
def test_the_server_of_the_official_image_does_not_wait_for_the_disk(
    tmp_path: Path, service: str, command: list[str]
) -> None:
    assert altered(tmp_path, service, "volumes: {data: {}}") == {
        "Cmd": [*command, *([] if command == ALTERED else SETTINGS)],
        "Env": ["POSTGRES_INITDB_ARGS=-N"],
    }


def test_a_command_that_sets_autovacuum_keeps_it(tmp_path: Path) -> None:
    command = ["postgres", "-c", "autovacuum=on"]
    assert altered(tmp_path, f"command: {command}")["Cmd"] == [*command, "-c", "fsync=off"]


def test_arguments_of_initdb_are_kept(tmp_path: Path) -> None:
    environment = "environment: [POSTGRES_INITDB_ARGS=--data-checksums, A=1]"
    assert altered(tmp_path, environment) == {
        "Cmd": ALTERED,
        "Env": ["A=1", "POSTGRES_INITDB_ARGS=--data-checksums -N"],
    }


def test_arguments_of_initdb_in_a_file_are_left_alone(tmp_path: Path) -> None:
    environment = "environment: {POSTGRES_INITDB_ARGS_FILE: /run/args}"
    assert altered(tmp_path, environment) == {"Cmd": ALTERED}


@pytest.mark.parametrize(
    ("service", "top"),
    [
        ("x-dockwright: {durable: true}", ""),
        ("command: postgres -c fsync=on", ""),
        ("command: pg_dumpall", ""),
        ("entrypoint: /mine.sh", ""),
        ("volumes: ['./data:/var/lib/postgresql/data']", ""),
        ("volumes: ['data:/var/lib/postgresql/data']", "volumes: {data: {external: true}}"),
    ],
)
def test_servers_whose_data_must_last_or_that_are_unknown_stay_as_they_are(
    tmp_path: Path, service: str, top: str
) -> None:
    assert altered(tmp_path, service, top) == {}


@pytest.mark.parametrize(
    "image",
    [{**OFFICIAL, "Entrypoint": ["/opt/entrypoint.sh"]}, {**OFFICIAL, "Cmd": ["redis-server"]}, {}],
)
def test_other_images_stay_as_they_are(tmp_path: Path, image: Mapping[str, Any]) -> None:
    assert altered(tmp_path, "", image=image) == {}


@pytest.mark.engine
@pytest.mark.parametrize(("isolated", "fsync"), [(True, "off\n"), (False, "on\n")])
def test_only_disposable_copies_do_not_wait(
    make_stack: StackMaker, *, isolated: bool, fsync: str
) -> None:
    stack = make_stack(
        """
        services:
          db:
            image: postgres:15
            environment: {POSTGRES_PASSWORD: secret}
            healthcheck: {test: pg_isready -h 127.0.0.1}
        """,
        isolated=isolated,
    )
    stack.start()
    show = ["psql", "-U", "postgres", "-Atc", "SHOW fsync"]
    assert stack.engine.exec(stack.container("db"), show).stdout.decode() == fsync
