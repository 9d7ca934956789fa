"""The hash of a stack that is the same wherever its project lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, hash_below, load

COMPOSE = """
services:
  web:
    image: web:1
    build: {context: app, args: {place: "${PLACE:-}"}}
    volumes: ["./www:/www:ro", "data:/data", "/etc/hosts:/hosts:ro"]
    env_file: [web.env]
    environment: {PLACE: "${PLACE:-}"}
    secrets: [key]
    configs: [conf]
    x-dockwright: {reset: recreate}
volumes: {data: {}}
secrets: {key: {file: key.txt}}
configs: {conf: {file: conf.txt}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "here"
    for name in ("app", "www"):
        (root / name).mkdir(parents=True)
    (root / "compose.yaml").write_text(f"name: shop\n{COMPOSE}")
    for name in ("web.env", "key.txt", "conf.txt", "app/Dockerfile"):
        (root / name).write_text("A=1\n")
    return root


def hash_of(root: Path, **environ: str) -> str:
    return hash_below(load(LoadOptions(start=root, environ=environ)), root)


def test_another_checkout_has_the_same_hash(project: Path, tmp_path: Path) -> None:
    there = tmp_path / "there" / "deeper"
    shutil.copytree(project, there)
    assert hash_of(there) == hash_of(project)


def test_a_path_in_a_value_of_the_suite_counts(project: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(project, there)
    before = hash_of(project, PLACE=str(project / "www"))
    assert hash_of(there, PLACE=str(there / "www")) != before
    assert hash_of(there, PLACE=str(project / "www")) == before


def _replace(file: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


CHANGES = {
    "a mount": _replace("compose.yaml", "./www:/www:ro", "./app:/www:ro"),
    "a context": _replace("compose.yaml", "context: app", "context: www"),
    "how a service is reset": _replace("compose.yaml", "recreate", "none"),
    "a secret": _replace("key.txt", "1", "2"),
    "a config": _replace("conf.txt", "1", "2"),
    "an env_file": _replace("web.env", "1", "2"),
    "a file outside": _replace("compose.yaml", "/etc/hosts:", "/etc/hostname:"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_changes_it(project: Path, change: str) -> None:
    before = hash_of(project)
    CHANGES[change](project)
    assert hash_of(project) != before
