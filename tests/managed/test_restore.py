"""``dockwright stack restore``: the new state or the old one, whole, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.managed.archive.layout import ZSTD
from tests._support.managed.archives import directory, tar_of, write_backup
from tests._support.managed.shop import (
    MAKE_DATA,
    containers_of,
    data_of,
    differences,
    helpers_of,
    left_in_state,
    put,
    shop_data,
    write_shop,
)
from tests._support.owned import leftovers
from tests._support.project import Project, clean_environment, plain_service
from tests.cli.test_terminal import on_terminal

pytestmark = pytest.mark.engine

State = dict[str, object]


def state_of(shop: Project) -> State:
    """Return the data and the containers, as far as a restore must bring them back."""
    return {"data": shop_data(shop), "containers": containers_of(shop)}


@pytest.fixture(scope="module")
def world(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Path, State]]:
    """A running stack, a backup of it, and the state that it was made of."""
    place = tmp_path_factory.mktemp("shop")
    environ = clean_environment(
        place / "state",
        DOCKER_HOST=engine.endpoint.url,
        DOCKWRIGHT_CONFIG_DIR=str(place / "config"),
    )
    project = Project(place, f"dwtest-{os.urandom(6).hex()}", engine, scratch, environ)
    write_shop(project)
    try:
        project.done("stack", "start")
        put(project, MAKE_DATA)
        project.done("stack", "backup", "-o", "a.tar.zst")
        yield project, place / "a.tar.zst", state_of(project)
    finally:
        project.remove()


@pytest.fixture
def shop(world: tuple[Project, Path, State]) -> Iterator[Project]:
    """The stack; after every test it is whole, and nothing is left."""
    project = world[0]
    yield project
    assert (helpers_of(project), left_in_state(project)) == ([], [])
    assert list(project.directory.glob(".*dockwright-part")) == []


@pytest.fixture
def archive(world: tuple[Project, Path, State]) -> Path:
    return world[1]


@pytest.fixture
def archived(world: tuple[Project, Path, State]) -> State:
    return world[2]


@pytest.fixture
def changed(shop: Project) -> State:
    """The state of the stack after its data was changed."""
    put(shop, "echo new >/data/new; rm -rf /data/a/b; echo $$ >/data/a/one")
    return state_of(shop)


def test_the_data_comes_back_as_it_was(
    shop: Project, archive: Path, archived: State, changed: State
) -> None:
    assert changed["data"] != archived["data"]
    result = shop.done("stack", "restore", str(archive), "--force")
    assert differences(archived, state_of(shop)) == []
    assert f"restored {shop.name} in " in result.err
    assert "running: web, side" in result.err


def test_it_asks_before_it_replaces(shop: Project, archive: Path, changed: State) -> None:
    result = shop.run("stack", "restore", str(archive))
    assert result.code == 2
    assert result.err.endswith(
        f"error: restore would replace {shop.name}, and cannot ask for confirmation without a "
        "terminal\n"
        "  hint: add --force to replace it without asking\n"
    )
    assert differences(changed, state_of(shop)) == []


def test_on_a_terminal_it_asks_and_shows_progress(
    shop: Project, archive: Path, archived: State, changed: State
) -> None:
    command = ("stack", "restore", str(archive))
    code, shown = on_terminal(shop, *command, answer={"[y/N]": "n\n"})
    assert code == 1
    assert f"  volume {shop.name}_data\n" in shown
    assert f"Replace this and all data of {shop.name} with the backup? [y/N]" in shown
    assert shown.endswith("nothing was restored\n")
    assert differences(changed, state_of(shop)) == []
    code, shown = on_terminal(shop, *command, answer={"[y/N]": "y\n"})
    assert code == 0
    assert "writing volume data" in shown
    assert "kB/s" in shown or "MB/s" in shown
    assert differences(archived, state_of(shop)) == []


def test_verify_changes_nothing(shop: Project, archive: Path, changed: State) -> None:
    result = shop.done("stack", "restore", str(archive), "--verify-only", "--json")
    assert "the backup is intact; 2 volumes, " in result.err
    assert json.loads(result.out)["project"] == shop.name
    assert differences(changed, state_of(shop)) == []


def test_a_damaged_backup_is_refused(
    shop: Project, archive: Path, changed: State, tmp_path: Path
) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.tar.zst"
    damaged.write_bytes(content)
    result = shop.run("stack", "restore", str(damaged), "--force")
    assert result.code == 1
    assert "damaged" in result.err
    assert "hint: nothing was changed" in result.err
    assert differences(changed, state_of(shop)) == []


def _evil(kind: bytes, name: str, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_hostile_backup_is_refused(shop: Project, changed: State, tmp_path: Path) -> None:
    tar = tar_of(directory("data"), _evil(tarfile.SYMTYPE, "data/etc", "../../etc"))
    path = write_backup(tmp_path / "evil.tar.zst", ZSTD, single=True, volume=tar)
    result = shop.run("stack", "restore", str(path), "--force")
    assert result.code == 1
    assert "'data/etc' is a link that leaves data: ../../etc" in result.err
    assert "if you trust its source, --trust also restores" in result.err
    assert differences(changed, state_of(shop)) == []


def test_a_stopped_service_stays_stopped(shop: Project, archive: Path, archived: State) -> None:
    shop.done("stack", "stop")
    result = shop.done("stack", "restore", str(archive), "--force")
    assert shop.running() == set()
    assert "not running; start it with `dockwright stack start`" in result.err
    assert shop_data(shop) == archived["data"]
    shop.done("stack", "start")


def test_restore_under_another_name_beside_the_original(
    shop: Project, archive: Path, archived: State, engine: Engine
) -> None:
    other = Project(shop.directory, f"{shop.name}-2", engine, shop.image, shop.environ)
    try:
        before = state_of(shop)
        shop.done("stack", "restore", str(archive), "-p", other.name)
        assert shop_data(other) == archived["data"]
        assert other.running() == {"web", "side"}
        assert differences(before, state_of(shop)) == []
    finally:
        other.remove()


def test_restore_on_a_machine_without_the_project_files(
    shop: Project, archive: Path, archived: State, tmp_path: Path, engine: Engine
) -> None:
    config = tmp_path / "config"
    environ = clean_environment(
        tmp_path / "state", DOCKER_HOST=engine.endpoint.url, DOCKWRIGHT_CONFIG_DIR=str(config)
    )
    other = Project(tmp_path, f"{shop.name}-3", engine, shop.image, environ)
    try:
        result = other.done("stack", "restore", str(archive), "-p", other.name)
        assert "using the project from the backup" in result.err
        assert shop_data(other) == archived["data"]
        files = sorted(each.name for each in (config / other.name).iterdir())
        assert files == ["compose.yaml", "settings.toml"]
        assert {each.stat().st_mode & 0o777 for each in (config / other.name).iterdir()} == {0o600}
        # From now on its name is enough, and nothing is to be made anew.
        containers = containers_of(other)
        assert "web" in other.done("stack", "status", "-p", other.name).out
        other.done("stack", "start", "-p", other.name)
        assert containers_of(other) == containers
        other.done("stack", "uninstall", "-p", other.name, "--all", "--force")
        assert (other.left(), list(config.iterdir())) == ([], [])
    finally:
        other.remove()


def test_another_project_is_not_overwritten_by_mistake(
    shop: Project, archive: Path, tmp_path: Path, engine: Engine
) -> None:
    other = Project(tmp_path, "mail", engine, shop.image, shop.environ)
    other.write("web: {image: IMAGE}", "volumes: {data: {}}")
    result = other.run("stack", "restore", str(archive), "--force")
    assert result.code == 2
    assert f"the backup is of project {shop.name}, but this is project mail" in result.err
    assert "add -p mail" in result.err
    named = other.run("stack", "restore", str(archive), "-p", f"{shop.name}-4")
    assert named.code == 2
    assert "the backup has a volume web:/srv/anonymous" not in named.err  # the service is there
    assert leftovers(engine, {"com.docker.compose.project": f"{shop.name}-4"}) == []


def test_a_missing_image_is_named_with_its_digest(
    shop: Project, archive: Path, changed: State
) -> None:
    compose = shop.directory / "compose.yaml"
    text = compose.read_text()
    compose.write_text(text.replace(shop.image, "dwtest.invalid/none:1") + "\n")
    try:
        result = shop.run("stack", "restore", str(archive), "--force")
    finally:
        compose.write_text(text)
    assert result.code == 1
    image = shop.engine.inspect_image(shop.image)["Id"]
    assert "dwtest.invalid/none:1" in result.err
    assert f"when the backup was made, it was {image}" in result.err
    assert differences(changed, state_of(shop)) == []


def test_a_volume_in_use_by_another_stack_is_not_replaced(
    shop: Project, archive: Path, changed: State
) -> None:
    mounts = [{"Type": "volume", "Source": f"{shop.name}_data", "Target": "/there"}]
    foreign = f"{shop.name}-foreign"
    body = {"Image": shop.image, "Cmd": ["true"], "HostConfig": {"Mounts": mounts}}
    container = shop.engine.create_container(foreign, body)  # type: ignore[arg-type]  # plain JSON
    try:
        result = shop.run("stack", "restore", str(archive), "--force")
    finally:
        shop.engine.remove_container(container)
    assert result.code == 1
    assert f"volume {shop.name}_data is also used by container {foreign}" in result.err
    assert differences(changed, state_of(shop)) == []


def test_a_restore_that_does_not_start_is_rolled_back(
    shop: Project, archive: Path, archived: State, tmp_path: Path
) -> None:
    put(shop, "touch /data/bad")
    bad = tmp_path / "bad.tar.zst"
    shop.done("stack", "backup", "-o", str(bad))
    put(shop, "rm /data/bad; touch -t 200102030405 /data")
    before = state_of(shop)
    result = shop.run("stack", "restore", str(bad), "--force")
    assert result.code == 1
    assert "exited with code 3" in result.err
    assert differences(before, state_of(shop)) == []
    assert shop.done("stack", "start").out == shop.done("stack", "start").out
    # A start finds nothing to make anew.
    assert state_of(shop)["containers"] == before["containers"]


class Interrupted:
    """Sends a signal to a restore when its journal says that it has come to a phase."""

    def __init__(self, shop: Project, archive: Path) -> None:
        self._shop = shop
        self._archive = archive
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, phase: str, number: int) -> tuple[int, str]:
        process = self._shop.popen("stack", "restore", str(self._archive), "--force")
        self.processes.append(process)
        self._await(phase, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err

    def _await(self, phase: str, process: subprocess.Popen[str]) -> None:
        stacks = Path(self._shop.environ["XDG_STATE_HOME"]) / "dockwright" / "stacks"
        pause = threading.Event()
        for _ in range(20_000):
            if any(phase in file.read_text() for file in stacks.glob("*/journal.json")):
                return
            assert process.poll() is None, process.communicate()
            pause.wait(0.001)  # what another process does cannot be waited for otherwise
        pytest.fail("the restore never came there")


@pytest.fixture
def interrupted(shop: Project, archive: Path) -> Iterator[Callable[[str, int], tuple[int, str]]]:
    made = Interrupted(shop, archive)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


PHASES = pytest.mark.parametrize("phase", ['"phase": "saving"', '"phase": "replacing"'])


@PHASES
def test_an_interrupted_restore_is_rolled_back(
    shop: Project, interrupted: Callable[[str, int], tuple[int, str]], changed: State, phase: str
) -> None:
    code, err = interrupted(phase, signal.SIGINT)
    assert code == 130, err
    assert "putting the existing stack back" in err
    assert differences(changed, state_of(shop)) == []


@PHASES
def test_the_next_command_rolls_back_a_killed_restore(
    shop: Project,
    interrupted: Callable[[str, int], tuple[int, str]],
    changed: State,
    phase: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    interrupted(phase, signal.SIGKILL)
    shop.done("stack", "status")
    assert (
        f"a restore of stack {shop.name} was killed: putting its previous state back" in caplog.text
    )
    assert differences(changed, state_of(shop)) == []


def test_restore_without_start(shop: Project, archive: Path, archived: State) -> None:
    shop.done("stack", "restore", str(archive), "--force", "--no-start")
    assert shop.running() == set()
    assert data_of(shop.engine, shop.container("web")) == archived["data"]
    shop.done("stack", "start")


def test_an_uninstalled_stack_comes_back_with_its_secrets(project: Project, tmp_path: Path) -> None:
    home = tmp_path / "config"
    project = replace(project, environ={**project.environ, "DOCKWRIGHT_CONFIG_DIR": str(home)})
    project.write(
        plain_service("web", "exec tail -f /dev/null", ["secrets: [key]", "volumes: [data:/data]"]),
        "volumes: {data: {}}\nsecrets: {key: {environment: API_KEY}}",
    )
    project.done("stack", "install")
    project.done("stack", "start")
    secret = project.engine.exec(project.container("web"), ["cat", "/run/secrets/key"]).stdout
    assert len(secret) > 20
    (home / project.name / "notes").write_text("mine")
    files = {each.name: each.read_bytes() for each in (home / project.name).iterdir()}
    project.done("stack", "backup", "-o", "a.tar.zst")
    project.done("stack", "uninstall", "--all", "--force")
    (home / project.name / "notes").unlink()
    (home / project.name / "later").write_text("stays")

    project.done("stack", "restore", "a.tar.zst")
    found = {each.name: each.read_bytes() for each in (home / project.name).iterdir()}
    assert found == {**files, "later": b"stays"}
    again = project.engine.exec(project.container("web"), ["cat", "/run/secrets/key"]).stdout
    assert again == secret

    # What a failing restore has changed of the configuration is put back, too.
    (home / project.name / "notes").write_text("newer")
    project.write(
        "web: {image: IMAGE, command: ['false'], volumes: [data:/data], "
        "healthcheck: {test: [CMD, 'true']}}",
        "volumes: {data: {}}",
    )
    failed = project.run("stack", "restore", "a.tar.zst", "--force")
    assert failed.code == 1
    assert (home / project.name / "notes").read_text() == "newer"
    assert project.running() == {"web"}
