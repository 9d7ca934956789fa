"""``dockwright stack backup``: all of one moment, whole or not at all, and the stack runs on."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support.managed.archives import read_whole
from tests._support.managed.shop import (
    MAKE_DATA,
    data_of,
    helpers_of,
    left_in_state,
    put,
    shop_data,
    write_shop,
)
from tests._support.project import COMMAND, Project, clean_environment

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def shop(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A running stack with data that every test leaves as it is."""
    directory = tmp_path_factory.mktemp("shop")
    environ = clean_environment(
        directory / "state",
        DOCKER_HOST=engine.endpoint.url,
        DOCKWRIGHT_CONFIG_DIR=str(directory / "config"),
    )
    project = Project(directory, f"dwtest-{os.urandom(6).hex()}", engine, scratch, environ)
    write_shop(project)
    try:
        project.done("stack", "start")
        put(project, MAKE_DATA)
        # Some that takes a moment to read.
        put(project, "dd if=/dev/urandom of=/data/big bs=1M count=12 2>/dev/null")
        yield project
    finally:
        project.remove()


@pytest.fixture(autouse=True)
def runs_on(shop: Project) -> Iterator[None]:
    """After every test the stack runs, nothing is paused, and nothing is left."""
    yield
    states = [each["State"] for each in shop.engine.list_containers(shop.labels)]
    assert states == ["running", "running"]
    assert (helpers_of(shop), left_in_state(shop)) == ([], [])
    assert list(shop.directory.glob(".*dockwright-part")) == []


@pytest.mark.parametrize("name", ["a.tar.zst", "a.tar.gz", "directory"])
def test_a_backup_contains_the_volumes(shop: Project, tmp_path: Path, name: str) -> None:
    before = shop_data(shop)
    path = tmp_path / name
    result = shop.done("stack", "backup", "-o", str(path))
    assert result.out == f"{path}\n"
    assert f"\n{shop.name}: 2 volumes, 12." in result.err
    archive = read_whole(path)
    keys = [part.volume for part in archive.manifest.volumes]
    assert keys == ["data", "web:/srv/anonymous"]
    found: dict[str, int] = {}
    for part, place in zip(archive.manifest.volumes, ("/data", "/srv/anonymous"), strict=True):
        with tarfile.open(fileobj=io.BytesIO(archive.text(part))) as tar:
            found |= {f"{place}:{m.name.partition('/')[2]}": m.mode & 0o7777 for m in tar}
    expected = {
        f"{key.partition(':')[0]}:{key.partition(':')[2].partition('/')[2]}": int(str(entry[1]))
        & 0o7777
        for key, entry in before.items()
    }
    assert found == expected
    assert archive.manifest.running == ("web", "side")
    assert archive.manifest.images["web"].reference == shop.image


def test_the_default_name_has_the_stack_and_the_time(shop: Project) -> None:
    result = shop.done("stack", "backup")
    path = Path(result.out.strip())
    try:
        assert path.parent == shop.directory
        assert path.name.startswith(f"{shop.name}-20")
        assert path.name.endswith(".tar.zst")
        assert path.stat().st_mode & 0o777 == 0o600
        archive = read_whole(path)
        assert b"content: hello $$you\n" in archive.text(archive.manifest.parts[0])
    finally:
        path.unlink()


def test_json_lists_the_files_of_a_directory(shop: Project, tmp_path: Path) -> None:
    document = json.loads(shop.done("stack", "backup", "-o", str(tmp_path), "--json").out)
    assert document["project"] == shop.name
    assert [str(each) for each in tmp_path.iterdir()] == [document["path"]]
    assert [part["name"] for part in document["parts"]] == [
        "compose.yaml",
        "volumes/data.tar",
        "volumes/web-srv-anonymous.tar",
    ]
    assert all(len(part["sha256"]) == 64 for part in document["parts"])


def test_an_existing_backup_is_replaced_only_with_force(shop: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.zst"
    path.write_text("precious")
    refused = shop.run("stack", "backup", "-o", str(path))
    assert (refused.code, path.read_text()) == (2, "precious")
    assert "a.tar.zst already exists\n  hint: choose another name, or add --force" in refused.err
    shop.done("stack", "backup", "-o", str(path), "--force")
    read_whole(path)
    directory = tmp_path / "d"
    for _ in range(2):
        shop.done("stack", "backup", "-o", str(directory), "--force")
        read_whole(directory)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.bz2"])
def test_an_unknown_extension_is_refused(shop: Project, tmp_path: Path, name: str) -> None:
    result = shop.run("stack", "backup", "-o", str(tmp_path / name))
    assert result.code == 2
    assert "a backup must be a .tar.zst file, a .tar.gz file or a directory" in result.err


def test_a_directory_that_cannot_be_written(shop: Project, tmp_path: Path) -> None:
    result = shop.run("stack", "backup", "-o", str(tmp_path / "none" / "a.tar.zst"))
    assert result.code == 2
    assert "the parent directory does not exist" in result.err


def test_a_stack_that_does_not_exist(shop: Project, tmp_path: Path) -> None:
    result = shop.run("stack", "backup", "-p", f"{shop.name}-none", "-o", str(tmp_path))
    assert result.code == 1
    assert f"nothing to back up: stack {shop.name}-none has no containers" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_stack_stays_stopped(shop: Project, tmp_path: Path) -> None:
    shop.done("stack", "stop")
    try:
        shop.done("stack", "backup", "-o", str(tmp_path / "a.tar.zst"))
        assert shop.running() == set()
        assert read_whole(tmp_path / "a.tar.zst").manifest.running == ()
    finally:
        shop.done("stack", "start")


def test_a_full_disk_leaves_nothing(shop: Project, tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -f 4096; exec "$@"', "sh", *COMMAND]  # 2 MiB a file
    path = tmp_path / "a.tar.zst"
    result = subprocess.run(
        [*limited, "stack", "backup", "-o", str(path)],
        cwd=shop.directory,
        env=dict(shop.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"{path}: cannot write the backup: " in result.stderr
    assert "hint: the incomplete backup was removed; free some space" in result.stderr
    assert list(tmp_path.iterdir()) == []


def _caught_paused(shop: Project, process: subprocess.Popen[str]) -> None:
    """Wait until a backup has paused the stack."""
    pause = threading.Event()
    for _ in range(2000):
        states = {each["State"] for each in shop.engine.list_containers(shop.labels)}
        if "paused" in states:
            return
        assert process.poll() is None, process.communicate()
        pause.wait(0.005)  # what another process does cannot be waited for otherwise
    pytest.fail("nothing was ever paused")


@pytest.fixture
def interrupted(shop: Project, tmp_path: Path) -> Iterator[Callable[[int], tuple[int, str]]]:
    """Starts a backup into `tmp_path` and sends it a signal while the stack is paused."""
    started: list[subprocess.Popen[str]] = []

    def send(number: int) -> tuple[int, str]:
        process = shop.popen("stack", "backup", "-o", str(tmp_path / "a.tar.gz"))
        started.append(process)
        _caught_paused(shop, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err

    yield send
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_backup_leaves_nothing(
    shop: Project,
    tmp_path: Path,
    interrupted: Callable[[int], tuple[int, str]],
    number: int,
    code: int,
) -> None:
    got, err = interrupted(number)
    assert got == code, err
    assert "resuming the stack and removing the incomplete backup" in err
    assert list(tmp_path.iterdir()) == []


def test_the_next_command_resumes_a_stack_that_a_killed_backup_paused(
    shop: Project,
    tmp_path: Path,
    interrupted: Callable[[int], tuple[int, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    interrupted(signal.SIGKILL)
    assert [each.name.startswith(".a.tar.gz.") for each in tmp_path.iterdir()] == [True]
    states = {each["State"] for each in shop.engine.list_containers(shop.labels)}
    assert "paused" in states
    shop.done("stack", "status")
    assert f"a backup of stack {shop.name} was killed: resuming the stack" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_two_backups_at_once(shop: Project, tmp_path: Path) -> None:
    with shop.popen("stack", "backup", "-o", str(tmp_path / "a.tar.gz")) as first:
        _caught_paused(shop, first)
        second = shop.run("stack", "backup", "-o", str(tmp_path / "b.tar.gz"))
        assert second.code == 1
        holder = f"`dockwright stack backup` is running (process {first.pid}, since "
        assert f"stack {shop.name} is busy: {holder}" in second.err
        assert shop.run("stack", "status").code == 0  # looking is allowed
        _, err = first.communicate(timeout=60)
        assert first.returncode == 0, err
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.gz"]


def test_only_volumes_can_be_backed_up(shop: Project, tmp_path: Path) -> None:
    before = data_of(shop.engine, shop.container("web"))
    shop.done("stack", "uninstall", "--force")
    try:
        shop.done("stack", "backup", "-o", str(tmp_path / "a.tar.zst"))
        assert len(read_whole(tmp_path / "a.tar.zst").manifest.volumes) == 2
    finally:
        shop.done("stack", "start")
    assert data_of(shop.engine, shop.container("web")) == before
