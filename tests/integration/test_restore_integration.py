"""``dockwright stack restore``: verified first; then the new state or the old one, whole."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests._support.engine.relay import Relay
from tests._support.project import Project, clean_environment, plain_service
from tests.integration.helpers import (
    FOREVER,
    UNITS,
    at_engine,
    change_data,
    cut_short,
    data,
    flip,
    home,
    install_and_start,
    listing,
    put,
    units,
    unprivileged,
    write_tiny,
)

pytestmark = pytest.mark.engine

CUTS = [("writing volume rows", signal.SIGINT), ("starting", signal.SIGKILL)]
TINY_CUTS = [
    ("saving the existing data", signal.SIGINT),
    ("removing the existing stack", signal.SIGKILL),
    ("writing volume data", signal.SIGKILL),
]


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup, and what was in it."""

    archive: Path
    data: tuple[str, str, str]


def saved(project: Project) -> Saved:
    """Back a project up, with what it holds now."""
    project.done("stack", "backup", "-o", "saved.tar.zst")
    return Saved(project.directory / "saved.tar.zst", data(project))


@pytest.fixture(scope="module")
def archive(app: Project) -> Path:
    """A backup of the session's project."""
    return saved(app).archive


@pytest.fixture(scope="module")
def changing(changing_app: Project) -> Saved:
    """A backup of the module's project, which every test leaves with other data."""
    return saved(changing_app)


@pytest.fixture
def other(app: Project, archive: Path, unique_name: str, tmp_path: Path) -> Iterator[Project]:
    """A place like another machine: no project, no configuration, only the archive."""
    environ = clean_environment(tmp_path / "state", DOCKER_HOST=app.engine.endpoint.url)
    shutil.copy(archive, tmp_path / "a.tar.zst")
    project = Project(tmp_path, unique_name, app.engine, app.image, environ)
    yield project
    project.remove()


# -- nothing is touched ----------------------------------------------------------------------------


@pytest.mark.stateless
@pytest.mark.parametrize("seed", range(12))
def test_a_wrong_byte_anywhere_is_found(app: Project, archive: Path, seed: int) -> None:
    at = random.Random(seed).randrange(archive.stat().st_size)
    damaged = flip(archive, at)
    before = {service: app.container(service) for service in app.running()}
    refused = app.run("stack", "restore", "--force", damaged.name)
    assert refused.code == 1, at
    assert "damaged" in refused.err
    assert {service: app.container(service) for service in app.running()} == before
    damaged.unlink()


@pytest.mark.stateless
@pytest.mark.parametrize(("part", "code"), [(0.0, 2), (0.3, 1), (0.6, 1), (0.99, 1)])
def test_a_cut_archive_is_refused(app: Project, archive: Path, part: float, code: int) -> None:
    content = archive.read_bytes()
    cut = archive.with_name(f"cut-{part}.tar.zst")
    cut.write_bytes(content[: int(len(content) * part)])
    refused = app.run("stack", "restore", "--force", cut.name)
    assert (refused.code, cut.name in refused.err) == (code, True)
    assert units(app) == UNITS


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.tar.zst", "nowhere.tar.zst: no such file or directory"),
        ("compose.yaml", "compose.yaml is not a backup"),
    ],
)
def test_a_file_that_is_not_a_backup_is_refused(app: Project, name: str, message: str) -> None:
    refused = app.run("stack", "restore", "--force", name)
    assert refused.code == 2
    assert message in refused.err


@pytest.mark.stateless
def test_an_unreadable_backup_is_an_error(app: Project, archive: Path) -> None:
    locked = Path(shutil.copy(archive, archive.with_name("locked.tar.zst")))
    locked.chmod(0)
    refused = unprivileged(app).run_apart("stack", "restore", "--force", locked.name)
    assert refused.code == 2
    assert "'locked.tar.zst' is not readable" in refused.err
    assert units(app) == UNITS


@pytest.mark.stateless
def test_data_is_not_replaced_unasked(app: Project, archive: Path) -> None:
    before = data(app)
    refused = app.run("stack", "restore", archive.name)
    assert refused.code == 2
    assert "--force" in refused.err
    assert data(app) == before


# -- the new state or the old one ------------------------------------------------------------------


@pytest.mark.stateful
def test_what_was_lost_comes_back(changing_app: Project, changing: Saved) -> None:
    change_data(changing_app, "lost")
    changing_app.done("stack", "restore", "--force", changing.archive.name)
    assert (data(changing_app), units(changing_app)) == (changing.data, UNITS)


@pytest.mark.stateful
def test_data_that_the_services_refuse_is_not_kept(project: Project) -> None:
    start = f"test ! -e /data/bad || exit 3; {FOREVER}"
    healthy = "healthcheck: {test: [CMD, test, '!', -e, /data/bad]}"
    web = plain_service("web", start, ["volumes: ['data:/data']", healthy])
    project.write(web, "volumes: {data: {}}")
    project.done("stack", "start")
    put(project, "touch /data/bad")
    project.done("stack", "backup", "-o", "bad.tar.zst")
    put(project, "rm /data/bad; touch /data/good")
    before = listing(project)
    refused = project.run("stack", "restore", "--force", "--timeout", "10", "bad.tar.zst")
    assert refused.code == 1
    assert "exited with code 3" in refused.err
    assert (listing(project), project.running()) == (before, {"web"})


@pytest.mark.stateful
@pytest.mark.parametrize(("moment", "number"), CUTS)
def test_an_interrupted_restore_leaves_one_state_whole(
    changing_app: Project, changing: Saved, moment: str, number: int
) -> None:
    change_data(changing_app, f"{moment.split()[0]}{int(number)}")
    before = data(changing_app)
    command = ("stack", "restore", "--force", changing.archive.name)
    with cut_short(changing_app, moment, *command) as process:
        process.send_signal(number)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    changing_app.done("stack", "status")  # puts right what a kill left
    assert (data(changing_app), units(changing_app)) == (before, UNITS)


@pytest.mark.stateful
@pytest.mark.parametrize(("moment", "number"), TINY_CUTS)
def test_an_interrupted_restore_of_a_tiny_stack_leaves_it_as_it_was(
    tiny: Project, moment: str, number: int
) -> None:
    tiny.done("stack", "backup", "-o", "a.tar.zst")
    put(tiny, "echo new >/data/new")
    before = listing(tiny)
    with cut_short(tiny, moment, "stack", "restore", "--force", "a.tar.zst") as process:
        process.send_signal(number)
    tiny.done("stack", "status")  # puts right what a kill left
    assert (listing(tiny), tiny.running()) == (before, {"web", "side"})


@pytest.mark.stateful
def test_losing_the_engine_during_a_restore_is_an_error_and_the_stack_recovers(
    project: Project, relay: Relay
) -> None:
    behind = at_engine(project, relay.url)
    write_tiny(behind)
    install_and_start(behind)
    behind.done("stack", "backup", "-o", "a.tar.zst")
    put(behind, "echo new >/data/new")
    before = listing(behind)
    command = ("stack", "restore", "--force", "a.tar.zst")
    with cut_short(behind, "removing the existing stack", *command) as process:
        relay.cut()
    assert process.returncode == 1
    relay.mend()
    behind.done("stack", "status", apart=True)
    assert (listing(behind), behind.running()) == (before, {"web", "side"})


@pytest.mark.stateful
def test_without_space_for_a_safety_copy_nothing_is_replaced(
    tiny: Project, small_disk: Path
) -> None:
    tiny.done("stack", "backup", "-o", "a.tar.zst")
    put(tiny, "dd if=/dev/urandom of=/data/large bs=1M count=8")
    before = listing(tiny)
    cramped = replace(tiny, environ={**tiny.environ, "XDG_STATE_HOME": str(small_disk)})
    refused = cramped.run("stack", "restore", "--force", "a.tar.zst")
    assert refused.code == 1
    assert "cannot save the existing data before the restore" in refused.err
    assert listing(tiny) == before
    assert tiny.running() == {"web", "side"}


# -- elsewhere -------------------------------------------------------------------------------------


@pytest.mark.stateful
def test_restoring_under_another_name_names_fixed_volume_names(
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
    assert "change `name:` of that volume in the Compose file" in refused.err
    assert project.running() == {"web"}


@pytest.mark.stateful
def test_a_stack_can_be_restored_elsewhere_under_another_name(app: Project, other: Project) -> None:
    other.done("stack", "restore", "-p", other.name, "a.tar.zst")
    assert (data(other), units(other)) == (data(app), UNITS)
    assert (home(other) / ".env").read_text() == (home(app) / ".env").read_text()
    assert units(app) == UNITS
    other.done("stack", "uninstall", "-p", other.name, "--force", "--all")
    assert other.left() == []


@pytest.mark.stateful
def test_a_stack_can_be_restored_without_starting_it(other: Project) -> None:
    other.done("stack", "restore", "-p", other.name, "--no-start", "a.tar.zst")
    assert units(other) == set()
    assert len(other.engine.list_volumes(other.labels)) == 3
