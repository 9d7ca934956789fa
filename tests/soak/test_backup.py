"""A backup with one wrong byte is always refused; a killed restore leaves one state, whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import ArchiveError, UsageError
from dockwright.managed import Progress, open_archive, verify
from tests._support.managed.shop import data_of, helpers_of, left_in_state, put
from tests._support.project import Project, clean_environment, plain_service
from tests._support.sample import FULL
from tests.soak.conftest import rounds

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200 if FULL else 300)]

WEB = plain_service("web", "exec tail -f /dev/null", ["volumes: ['data:/data', '/srv']"])


@pytest.fixture
def shop(engine: Engine, scratch: str, unique_name: str, tmp_path: Path) -> Iterator[Project]:
    """A running stack whose data is of the archived kind, and that kind's backups."""
    environ = clean_environment(tmp_path / "state", DOCKER_HOST=engine.endpoint.url)
    project = Project(tmp_path, unique_name, engine, scratch, environ)
    project.write(WEB, "volumes: {data: {}}")
    try:
        project.done("stack", "start")
        put(project, "for i in 1 2 3; do dd if=/dev/urandom of=/data/$i bs=64k count=4; done")
        put(project, "echo archived >/data/kind; echo archived >/srv/kind")
        for name in ("a.tar.zst", "a.tar.gz"):
            project.done("stack", "backup", "-o", name)
        yield project
    finally:
        project.remove()


def refused(path: Path) -> bool:
    """Return whether restoring would stop before anything is touched."""
    try:
        verify(open_archive(path), Progress())
    except (ArchiveError, UsageError):
        return True
    return False


def test_every_wrong_byte_and_every_truncation_is_detected(
    shop: Project, report: Callable[[str], None]
) -> None:
    random_ = random.Random(11)
    archives = [shop.directory / "a.tar.zst", shop.directory / "a.tar.gz"]
    contents = [path.read_bytes() for path in archives]
    assert not any(refused(path) for path in archives)
    flips, cuts = rounds(30, 300), rounds(10, 50)
    missed: list[str] = []
    for number in range(flips + cuts):
        path, content = archives[number % 2], contents[number % 2]
        at = random_.randrange(len(content))
        other = bytes([content[at] ^ random_.randrange(1, 256)])
        wrong = content[:at] + (other + content[at + 1 :] if number < flips else b"")
        path.write_bytes(wrong)
        if not refused(path):
            missed.append(f"{path.name}: {'byte' if number < flips else 'cut'} at {at}")
    report(f"{flips} wrong bytes and {cuts} cuts in backups: {len(missed)} missed")
    assert missed == []


def kill_restore(shop: Project, delay_s: float) -> bool:
    """Start a restore and kill it after `delay_s`; return whether it was still at work."""
    process = shop.popen("stack", "restore", "a.tar.zst", "--force")
    try:
        threading.Event().wait(delay_s)  # the random moment; nothing can be waited for instead
        alive = process.poll() is None
    finally:
        process.kill()
        process.communicate(timeout=60)
    return alive


def test_a_killed_restore_leaves_the_old_or_the_new_state(
    shop: Project, report: Callable[[str], None]
) -> None:
    archived = data_of(shop.engine, shop.container("web"), "/data", "/srv")
    began = time.monotonic()
    shop.done("stack", "restore", "a.tar.zst", "--force", apart=True)
    whole_s = time.monotonic() - began
    assert data_of(shop.engine, shop.container("web"), "/data", "/srv") == archived
    moments = random.Random(12)
    kills = new = 0
    for number in range(rounds(9, 200)):  # some are over before they are killed
        put(shop, f"echo {number} >/data/kind; echo {number} >/srv/kind; rm -f /data/1")
        old = data_of(shop.engine, shop.container("web"), "/data", "/srv")
        kills += kill_restore(shop, moments.uniform(0.2, 1.0) * whole_s)
        shop.done("stack", "status")
        now = data_of(shop.engine, shop.container("web"), "/data", "/srv")
        assert now in (old, archived)
        assert shop.running() == {"web"}
        if helpers_of(shop):  # the engine made one after the kill: the next command removes it
            shop.done("stack", "status")
        assert (helpers_of(shop), left_in_state(shop)) == ([], [])
        new += now == archived
        if kills == rounds(3, 50):
            break
    report(f"{kills} restores killed: always one state, whole: the new one {new} times")
    assert kills == rounds(3, 50)
