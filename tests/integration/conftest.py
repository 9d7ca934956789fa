"""What the suites share: a project of their own, and one that runs as long as a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import project
from tests.cli.project import Project, clean_environment
from tests.conftest import _own_log_level, engine, owned, scratch, small_disk, unique_name
from tests.integration.helpers import MAKE_DATA, put, write_app

if TYPE_CHECKING:
    from dockwright.engine import Engine

__all__ = [
    "_own_log_level",
    "engine",
    "owned",
    "project",
    "scratch",
    "small_disk",
    "unique_name",
]


@pytest.fixture(scope="module")
def app(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """An installed and started project with data, shared by the tests of a module."""
    place = tmp_path_factory.mktemp("app")
    environ = clean_environment(place / "state", DOCKER_HOST=engine.endpoint.url)
    project = Project(place, f"dwtest-{os.urandom(6).hex()}", engine, scratch, environ)
    write_app(project)
    try:
        project.done("stack", "install", "--no-check")
        project.done("stack", "start")
        put(project, MAKE_DATA)
        yield project
    finally:
        project.remove()
    assert project.left() == []


@pytest.fixture
def started(project: Project) -> Project:
    """A started project with data, of one test alone."""
    write_app(project)
    project.done("stack", "install", "--no-check")
    project.done("stack", "start")
    put(project, MAKE_DATA)
    return project
