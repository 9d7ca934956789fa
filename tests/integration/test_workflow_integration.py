"""Whole workflows: one command after the other, as a person would type them; tests of one stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support.managed.shop import build_version
from tests._support.project import Project, clean_environment
from tests.integration.helpers import (
    UNITS,
    Services,
    change_data,
    data,
    home,
    listing,
    put,
    sql,
    units,
    write_app,
)

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
def test_a_stack_moves_to_another_machine(tiny: Project, unique_name: str, tmp_path: Path) -> None:
    put(tiny, "echo moved >/data/file")
    before, secret = listing(tiny), (home(tiny) / ".env").read_text()
    tiny.done("stack", "backup", "-o", "move.tar.gz")
    tiny.done("stack", "uninstall", "--force", "--all")
    place = tmp_path / "there"
    place.mkdir()
    environ = clean_environment(place / "state", DOCKER_HOST=tiny.engine.endpoint.url)
    there = Project(place, f"{unique_name}-there", tiny.engine, tiny.image, environ)
    try:
        there.done("stack", "restore", "-p", there.name, str(tiny.directory / "move.tar.gz"))
        assert (listing(there), there.running()) == (before, {"web", "side"})
        assert (home(there) / ".env").read_text() == secret
        there.done("stack", "restart", "-p", there.name)
        assert (listing(there), there.running()) == (before, {"web", "side"})
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
def test_two_backups_restore_two_moments(tiny: Project) -> None:
    moments = {}
    for moment in ("one", "two"):
        put(tiny, f"rm -rf /data/a; echo {moment} >/data/{moment}")
        moments[moment] = listing(tiny)
        tiny.done("stack", "backup", "-o", f"{moment}.tar.zst")
    assert moments["one"] != moments["two"]
    for moment in ("one", "two"):
        tiny.done("stack", "restore", "--force", f"{moment}.tar.zst")
        assert listing(tiny) == moments[moment]


@pytest.mark.module_cleanup
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_tests_of_a_module_share_one_stack(services: Services, number: int) -> None:
    rows = services.rows
    rows.execute("INSERT INTO payments (payer, cents) VALUES ('bob', %s)", (number,))
    found = rows.execute("SELECT count(*) FROM payments WHERE cents = %s", (number,)).fetchone()
    assert found == (1,)
