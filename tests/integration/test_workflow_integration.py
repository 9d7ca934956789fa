"""Whole workflows, one command after the other, as a person would type them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests.cli.project import Project, clean_environment
from tests.integration.helpers import (
    UNITS,
    change_data,
    data,
    home,
    install_and_start,
    listing,
    put,
    sql,
    units,
    write_app,
)
from tests.lifecycle.builds import build_version

pytestmark = pytest.mark.engine


@pytest.fixture
def images(engine: Engine, scratch: str, unique_name: str, tmp_path: Path) -> Iterator[list[str]]:
    """Images of two versions of the web service; the second never gets healthy."""
    tags = [f"{unique_name}-web:{version}" for version in ("good", "bad")]
    for tag in tags:
        build_version(engine, scratch, tag, tag.rpartition(":")[2], tmp_path)
    yield tags
    for tag in tags:
        engine.remove_image(tag, force=True)


@pytest.mark.stateful
def test_from_install_to_uninstall(project: Project, images: list[str]) -> None:
    good, bad = images
    write_app(project)
    project.done("stack", "install")
    project.done("stack", "start")
    change_data(project, "written")
    before = data(project)
    project.done("stack", "backup", "-o", "safe.tar.zst")
    write_app(project, image=good)
    project.done("stack", "update", "--no-pull")
    assert (put(project, "cat /version"), data(project)) == ("good", before)
    write_app(project, image=bad)
    assert project.run("stack", "update", "--no-pull", "--timeout", "2").code == 1
    assert (put(project, "cat /version"), data(project)) == ("good", before)
    sql(project, "DROP TABLE accounts")
    put(project, "redis-cli flushall", "cache")
    put(project, "rm -r /data/written")
    write_app(project)
    project.done("stack", "restore", "--force", "safe.tar.zst")
    assert (data(project), units(project)) == (before, UNITS)
    project.done("stack", "uninstall", "--force", "--all")
    assert project.left() == []
    assert not home(project).exists()


@pytest.mark.stateful
def test_a_stack_moves_to_another_machine(
    project: Project, unique_name: str, tmp_path: Path
) -> None:
    write_app(project)
    install_and_start(project)
    change_data(project, "moved")
    before, secret = data(project), (home(project) / ".env").read_text()
    project.done("stack", "backup", "-o", "move.tar.gz")
    project.done("stack", "uninstall", "--force", "--all")
    place = tmp_path / "there"
    place.mkdir()
    environ = clean_environment(place / "state", DOCKER_HOST=project.engine.endpoint.url)
    there = Project(place, f"{unique_name}-there", project.engine, project.image, environ)
    try:
        there.done("stack", "restore", "-p", there.name, str(project.directory / "move.tar.gz"))
        assert (data(there), units(there)) == (before, UNITS)
        assert (home(there) / ".env").read_text() == secret
        there.done("stack", "restart", "-p", there.name)
        assert (data(there), units(there)) == (before, UNITS)
        there.done("stack", "uninstall", "-p", there.name, "--force", "--all")
        assert there.left() == []
    finally:
        there.remove()


@pytest.mark.stateful
def test_a_day_of_stops_and_starts_keeps_the_data(tiny: Project) -> None:
    put(tiny, "echo precious >/data/file")
    before = listing(tiny)
    for command in ("stop", "start", "restart", "stop", "start"):
        tiny.done("stack", command)
    assert (listing(tiny), tiny.running()) == (before, {"web", "side"})


@pytest.mark.stateful
def test_two_backups_restore_two_moments(own_app: Project) -> None:
    moments = {}
    for moment in ("one", "two"):
        change_data(own_app, moment)
        moments[moment] = data(own_app)
        own_app.done("stack", "backup", "-o", f"{moment}.tar.zst")
    assert moments["one"] != moments["two"]
    for moment in ("one", "two"):
        own_app.done("stack", "restore", "--force", f"{moment}.tar.zst")
        assert data(own_app) == moments[moment]
