"""``dockwright stack restore``: verified first; then the new state or the old one, whole."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.project import LIMIT_S, Project, clean_environment, plain_service
from tests.integration.helpers import FOREVER, flip, listing, put

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def archive(app: Project) -> Path:
    """A backup of the module's project."""
    app.done("stack", "backup", "-o", "a.tar.zst")
    return app.directory / "a.tar.zst"


@pytest.fixture
def other(app: Project, archive: Path, unique_name: str, tmp_path: Path) -> Iterator[Project]:
    """A place like another machine: no project, no configuration, only the archive."""
    environ = clean_environment(tmp_path / "state", DOCKER_HOST=app.engine.endpoint.url)
    shutil.copy(archive, tmp_path / "a.tar.zst")
    project = Project(tmp_path, unique_name, app.engine, app.image, environ)
    yield project
    project.remove()


@pytest.mark.stateless
@pytest.mark.parametrize("seed", range(12))
def test_a_wrong_byte_anywhere_is_found(app: Project, archive: Path, seed: int) -> None:
    at = random.Random(seed).randrange(archive.stat().st_size)
    damaged = flip(archive, at)
    before = listing(app)
    refused = app.run("stack", "restore", "--force", damaged.name)
    assert refused.code == 1, at
    assert listing(app) == before
    damaged.unlink()


@pytest.mark.stateless
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
def test_a_cut_archive_is_refused(app: Project, archive: Path, part: float) -> None:
    content = archive.read_bytes()
    cut = archive.with_name(f"cut-{part}.tar.zst")
    cut.write_bytes(content[: int(len(content) * part)])
    assert app.run("stack", "restore", "--force", cut.name).code != 0
    assert app.running() == {"web", "side"}


@pytest.mark.stateless
@pytest.mark.parametrize("name", ["nowhere.tar.zst", "compose.yaml"])
def test_what_is_no_backup_is_told(app: Project, name: str) -> None:
    refused = app.run("stack", "restore", "--force", name)
    assert refused.code in (1, 2)
    assert name in refused.err


@pytest.mark.stateless
def test_data_is_not_replaced_unasked(app: Project, archive: Path) -> None:
    refused = app.run("stack", "restore", archive.name)
    assert refused.code in (1, 2)
    assert "--force" in refused.err


@pytest.mark.stateful
def test_what_was_lost_comes_back(app: Project, archive: Path) -> None:
    before = listing(app)
    put(app, "rm -r /data/a; echo more >/data/more")
    app.done("stack", "restore", "--force", archive.name)
    assert listing(app) == before
    assert app.running() == {"web", "side"}


@pytest.mark.stateful
def test_data_that_the_services_refuse_is_not_kept(app: Project) -> None:
    put(app, "touch /data/bad")
    app.done("stack", "backup", "-o", "bad.tar.zst")
    put(app, "rm /data/bad")
    before = listing(app)
    refused = app.run("stack", "restore", "--force", "--timeout", "10", "bad.tar.zst")
    assert refused.code == 1
    assert listing(app) == before
    assert app.running() == {"web", "side"}


@pytest.mark.stateful
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["saving for safety", "removing what was there", "starting"])
def test_an_interrupted_restore_leaves_one_state_whole(
    app: Project, archive: Path, moment: str, number: int
) -> None:
    saved = listing(app)
    put(app, "echo new >/data/only-now")
    before = listing(app)
    with app.popen("stack", "restore", "--force", archive.name) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(moment):
                break
        process.send_signal(number)
        process.communicate(timeout=LIMIT_S)
    app.done("stack", "start")  # repairs what a kill left
    assert listing(app) in (before, saved)
    app.done("stack", "restore", "--force", archive.name)
    assert listing(app) == saved


@pytest.mark.stateful
def test_without_room_for_a_safety_copy_nothing_is_replaced(
    started: Project, small_disk: Path
) -> None:
    started.done("stack", "backup", "-o", "a.tar.zst")
    put(started, "dd if=/dev/urandom of=/data/large bs=1M count=8")
    before = listing(started)
    cramped = replace(started, environ={**started.environ, "XDG_STATE_HOME": str(small_disk)})
    refused = cramped.run("stack", "restore", "--force", "a.tar.zst")
    assert refused.code == 1
    assert "no safety copy of the present data can be kept" in refused.err
    assert listing(started) == before
    assert started.running() == {"web", "side"}


@pytest.mark.stateful
def test_a_fixed_volume_name_is_told_under_another_project_name(
    project: Project, unique_name: str
) -> None:
    fixed = f"{unique_name}-fixed"
    web = plain_service("web", FOREVER, ["volumes: ['data:/data']"])
    project.write(web, f"volumes: {{data: {{name: {fixed}}}}}")
    project.done("stack", "start")
    project.done("stack", "backup", "-o", "a.tar.zst")
    refused = project.run("stack", "restore", "-p", f"{project.name}-2", "a.tar.zst")
    assert refused.code == 1
    assert fixed in refused.err
    assert "let `name:` of that volume in the Compose file be another one" in refused.err
    assert project.running() == {"web"}


@pytest.mark.stateful
def test_it_comes_back_elsewhere_under_another_name(app: Project, other: Project) -> None:
    other.done("stack", "restore", "-p", other.name, "a.tar.zst")
    assert other.running() == {"web", "side"}
    assert put(other, "cat /data/a/one") == "one\n"
    assert app.running() == {"web", "side"}


@pytest.mark.stateful
def test_it_may_be_restored_without_a_start(other: Project) -> None:
    other.done("stack", "restore", "-p", other.name, "--no-start", "a.tar.zst")
    assert other.running() == set()
    assert other.engine.list_volumes(other.labels)
