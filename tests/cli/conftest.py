"""Fixtures of the commands' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests._support.project import Project, clean_environment

if TYPE_CHECKING:
    from dockwright.engine import Engine


@pytest.fixture
def project(engine: Engine, scratch: str, unique_name: str, tmp_path: Path) -> Iterator[Project]:
    """A project directory whose traces are removed after the test, also when it fails."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "pytest.ini").touch()  # so that it is a root of its own
    environ = clean_environment(tmp_path / "state", DOCKER_HOST=engine.endpoint.url)
    project = Project(directory, unique_name, engine, scratch, environ)
    yield project
    project.remove()
