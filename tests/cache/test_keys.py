"""A key changes with whatever decides what a fresh stack holds, and with nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.cache import NotCacheableError, Surroundings, content_key
from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError
from dockwright.model import StackSpec

COMPOSE = """
services:
  db:
    image: postgres:15
    environment: {POSTGRES_DB: shop}
    volumes:
      - data:/var/lib/postgresql/data
      - ./initdb.d:/docker-entrypoint-initdb.d:ro
      - ./db.conf:/etc/db.conf
volumes: {data: {}}
"""
HERE = Surroundings({"db": "sha256:1"}, "linux/amd64", {})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "initdb.d").mkdir()
    (tmp_path / "initdb.d" / "1.sql").write_text("CREATE TABLE t ()")
    (tmp_path / "db.conf").write_text("a = 1")
    return tmp_path


def spec_of(project: Path, text: str = COMPOSE) -> StackSpec:
    file = project / "compose.yaml"
    file.write_text(text)
    return load(LoadOptions(files=(file,), environ={}))


def key_of(project: Path, text: str = COMPOSE, surroundings: Surroundings = HERE) -> str:
    return content_key(spec_of(project, text), surroundings).text


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda project: (project / name).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        _write("initdb.d/1.sql", "CREATE TABLE t (a int)"),
        _write("initdb.d/2.sql", ""),
        _write("db.conf", "a = 2"),
        lambda project: (project / "initdb.d" / "1.sql").rename(project / "initdb.d" / "0.sql"),
        lambda project: (project / "initdb.d" / "1.sql").chmod(0o755),
        lambda project: (project / "initdb.d" / "1.sql").unlink(),
        lambda project: (project / "initdb.d" / "sub").mkdir(),
        lambda project: (project / "initdb.d" / "link").symlink_to("1.sql"),
    ],
)
def test_it_changes_with_the_files_that_are_mounted(
    project: Path, change: Callable[[Path], object]
) -> None:
    before = key_of(project)
    change(project)
    assert key_of(project) != before


@pytest.mark.parametrize(
    "surroundings",
    [
        replace(HERE, images={"db": "sha256:2"}),
        replace(HERE, platform="linux/arm64"),
        replace(HERE, seed="INSERT"),
    ],
)
def test_it_changes_with_images_platform_and_seed(
    project: Path, surroundings: Surroundings
) -> None:
    assert key_of(project, surroundings=surroundings) != key_of(project)


def test_it_changes_with_the_compose_file(project: Path) -> None:
    before = key_of(project)
    assert key_of(project, COMPOSE.replace("shop", "store")) != before
    assert key_of(project, COMPOSE + "# a comment\n") == before


def test_it_changes_with_variables_behind_secrets(project: Path) -> None:
    text = COMPOSE.replace("    image", "    secrets: [pw]\n    image")
    text += "secrets: {pw: {environment: PW}}\n"
    keys = {
        key_of(project, text, replace(HERE, environ={"PW": value, "OTHER": other}))
        for value, other in (("a", "1"), ("a", "2"), ("b", "2"))
    }
    assert len(keys) == 2


def test_it_does_not_change_with_owners_and_times(project: Path) -> None:
    before = key_of(project)
    os.utime(project / "initdb.d" / "1.sql", (1, 1))
    assert key_of(project) == before


def test_a_service_that_is_left_out_changes_it(project: Path) -> None:
    text = COMPOSE.replace("    image", "    x-dockwright: {cache: false}\n    image")
    assert key_of(project, text) != key_of(project)


PROCESS = "x-dockwright: {processes: {app: {command: [run]}}%s}\n"
ONCE = """
  seed:
    image: x
    x-dockwright: {%s}
  web:
    image: x
    depends_on: {seed: {condition: service_completed_successfully}}
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (COMPOSE + "x-dockwright: {cache: false}\n", "x-dockwright.cache is false"),
        (COMPOSE.replace("{data: {}}", "{data: {external: true}}"), "volumes.data is external"),
        (
            COMPOSE.replace("{data: {}}", "{data: {driver_opts: {type: nfs}}}"),
            "volumes.data has a driver or options of its own",
        ),
        (COMPOSE + PROCESS % "", "code of native process app is not part of the key"),
        (
            COMPOSE.replace("volumes: {", ONCE % "options: {}" + "volumes: {"),
            "service seed would run again",
        ),
    ],
)
def test_a_stack_without_a_complete_key_is_not_cached(
    project: Path, text: str, reason: str
) -> None:
    with pytest.raises(NotCacheableError, match=reason):
        key_of(project, text)


@pytest.mark.parametrize(
    "text",
    [
        COMPOSE + PROCESS % ", cache: true",
        COMPOSE.replace("volumes: {", ONCE % "cache: true" + "volumes: {"),
    ],
)
def test_the_file_may_say_that_it_is_safe(project: Path, text: str) -> None:
    assert key_of(project, text)


def test_the_switch_is_a_boolean(project: Path) -> None:
    with pytest.raises(ComposeError, match=r"x-dockwright.cache"):
        spec_of(project, COMPOSE + "x-dockwright: {cache: sometimes}\n")


def test_files_on_another_host_are_not_ours_to_hash(project: Path) -> None:
    with pytest.raises(NotCacheableError, match="mounted from another host"):
        key_of(project, surroundings=replace(HERE, files_are_ours=False))


@pytest.mark.parametrize(
    ("limit", "value", "reason"), [("MOST_FILES", 2, "2 files"), ("MOST_BYTES", 8, "0 MB")]
)
def test_more_than_is_worth_reading_is_not_cached(
    project: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, reason: str
) -> None:
    (project / "initdb.d" / "2.sql").touch()
    monkeypatch.setattr(f"dockwright.cache.files.{limit}", value)
    with pytest.raises(NotCacheableError, match=f"initdb.d holds more than {reason}"):
        key_of(project)


def test_only_files_have_content(project: Path) -> None:
    text = COMPOSE.replace("./db.conf", "./sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project / "sock"))
        with_socket = key_of(project, text)
    (project / "sock").unlink()
    assert key_of(project, text) != with_socket  # nothing is there: the engine makes a directory


def test_a_cycle_of_links_ends(project: Path) -> None:
    (project / "initdb.d" / "loop").symlink_to(project / "initdb.d")
    assert key_of(project)


def test_the_inputs_are_named(project: Path) -> None:
    key = content_key(spec_of(project), replace(HERE, seed="x"))
    names: Mapping[str, str] = key.inputs
    assert sorted(names) == [
        f"file {project / 'db.conf'}",
        f"file {project / 'initdb.d'}",
        "format",
        "image of db",
        "platform",
        "seed",
        "spec",
    ]
