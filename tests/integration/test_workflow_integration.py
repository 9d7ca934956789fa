"""Whole workflows, one command after the other, as a person would type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.project import Project, clean_environment
from tests.integration.helpers import home, listing, put, write_app

pytestmark = pytest.mark.engine


@pytest.mark.stateful
def test_from_install_to_uninstall(project: Project) -> None:
    write_app(project)
    project.done("stack", "install")
    project.done("stack", "start")
    put(project, "echo precious >/data/file")
    before = listing(project)
    project.done("stack", "backup", "-o", "safe.tar.zst")
    file = project.directory / "compose.yaml"
    file.write_text(file.read_text().replace("web is up", "web is newer"))
    project.done("stack", "update", "--no-pull")
    assert "web is newer" in project.done("stack", "logs", "web").out
    put(project, "rm /data/file")
    project.done("stack", "restore", "--force", "safe.tar.zst")
    assert listing(project) == before
    assert put(project, "cat /data/file") == "precious\n"
    project.done("stack", "uninstall", "--force", "--all")
    assert project.left() == []
    assert not home(project).exists()


@pytest.mark.stateful
def test_a_stack_moves_to_another_machine(
    project: Project, unique_name: str, tmp_path: Path
) -> None:
    write_app(project)
    project.done("stack", "install", "--no-check")
    project.done("stack", "start")
    put(project, "echo moved >/data/file")
    project.done("stack", "backup", "-o", "move.tar.gz")
    project.done("stack", "uninstall", "--force", "--all")
    place = tmp_path / "there"
    place.mkdir()
    environ = clean_environment(place / "state", DOCKER_HOST=project.engine.endpoint.url)
    there = Project(place, f"{unique_name}-there", project.engine, project.image, environ)
    try:
        there.done("stack", "restore", "-p", there.name, str(project.directory / "move.tar.gz"))
        assert put(there, "cat /data/file") == "moved\n"
        there.done("stack", "restart", "-p", there.name)
        there.done("stack", "uninstall", "-p", there.name, "--force", "--all")
        assert there.left() == []
    finally:
        there.remove()


@pytest.mark.stateful
def test_a_day_of_stops_and_starts_keeps_the_data(started: Project) -> None:
    for command in ("stop", "start", "restart", "stop", "start"):
        started.done("stack", command)
    assert put(started, "cat /data/a/one") == "one\n"
    assert started.running() == {"web", "side"}


@pytest.mark.stateful
def test_two_backups_restore_two_moments(started: Project) -> None:
    for moment in ("one", "two"):
        put(started, f"echo {moment} >/data/moment")
        started.done("stack", "backup", "-o", f"{moment}.tar.zst")
    for moment in ("one", "two", "one"):
        started.done("stack", "restore", "--force", f"{moment}.tar.zst")
        assert put(started, "cat /data/moment") == f"{moment}\n"
