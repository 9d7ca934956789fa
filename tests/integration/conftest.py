"""What the suites share: projects of their own, of which some run as long as the session."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests._support.engine.relay import Relay
from tests._support.project import Project, clean_environment
from tests._support.skips import pytest_sessionfinish, pytest_terminal_summary
from tests.cli.conftest import project
from tests.conftest import _own_log_level, engine, owned, scratch, small_disk, unique_name
from tests.integration.helpers import (
    Services,
    install_and_start,
    services_of,
    write_app,
    write_tiny,
)

if TYPE_CHECKING:
    from dockwright import LeasedStack
    from dockwright.engine import Engine

__all__ = [
    "_own_log_level",
    "engine",
    "owned",
    "project",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "scratch",
    "small_disk",
    "unique_name",
]


@pytest.fixture
def services(stack: LeasedStack) -> Iterator[Services]:
    """The services of the test's stack, connected."""
    with services_of(stack) as services:
        yield services


@contextmanager
def running_app(place: Path, engine: Engine, image: str) -> Iterator[Project]:
    """Install and start a whole project; remove it after the block, and look that it is gone."""
    environ = clean_environment(place / "state", DOCKER_HOST=engine.endpoint.url)
    project = Project(place, f"dwtest-{os.urandom(6).hex()}", engine, image, environ)
    write_app(project)
    try:
        install_and_start(project)
        yield project
    finally:
        project.remove()
    assert project.left() == []


@pytest.fixture(scope="session")
def app(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A whole project with data, for tests that leave its state as it is."""
    with running_app(tmp_path_factory.mktemp("app"), engine, scratch) as project:
        yield project


@pytest.fixture(scope="session")
def changing_app(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A whole project that runs, for tests that do not mind what it holds and change it."""
    with running_app(tmp_path_factory.mktemp("changing"), engine, scratch) as project:
        yield project


@pytest.fixture
def tiny(project: Project) -> Project:
    """A tiny project with data, of one test alone."""
    write_tiny(project)
    install_and_start(project)
    return project


@pytest.fixture
def relay(engine: Engine) -> Iterator[Relay]:
    """A way to the engine that a test may cut; the engine of others does not notice."""
    scheme, _, target = engine.endpoint.url.partition("://")
    if scheme != "unix":
        pytest.skip("the engine has no socket on this machine")
    with tempfile.TemporaryDirectory(prefix="dwtest-relay-") as place:
        relay = Relay(Path(place) / "engine.sock", target)
        yield relay
        relay.cut()
