"""Services are stopped and started for a while; a block brings them back to what they were."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX, Engine, current_owner
from dockwright.errors import StackError, UnknownServiceError
from dockwright.model import Ownership
from dockwright.resources import StackServiceManager
from dockwright.stack import Identity, Stack, StackOptions
from tests._support.owned import leftovers

pytestmark = pytest.mark.engine

SCRIPT = "import signal; signal.pause()"
LOOP = "trap 'exit 0' TERM; touch /ready; while :; do sleep 0.05; done"
COMPOSE = f"""
name: tiny
services:
  db:
    image: IMAGE
    command: ["sh", "-c", "{LOOP}"]
    healthcheck: {{test: ["CMD", "test", "-e", "/ready"], interval: 10s}}
  web:
    image: IMAGE
    command: ["sh", "-c", "{LOOP}"]
    depends_on: [db]
x-dockwright:
  processes:
    job: {{command: [{sys.executable}, -S, -c, "{SCRIPT}"]}}
"""
ALL = frozenset({"db", "web", "job"})


@pytest.fixture(scope="module")
def tiny(engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running stack for the module; each test leaves it as it was."""
    directory = tmp_path_factory.mktemp("stack")
    file = directory / "compose.yaml"
    file.write_text(COMPOSE.replace("IMAGE", scratch))
    name = f"dwtest-{directory.parent.name.lower()}-{current_owner().pid}"
    ownership = Ownership(name, "test", "default", current_owner(), 0.0, "0")
    made = Stack(
        load(LoadOptions(files=(file,))),
        engine,
        Identity(name, ownership),
        StackOptions(log_directory=directory, ready_timeout_s=20.0),
    )
    try:
        made.start()
        yield made
    finally:
        made.remove()
    assert leftovers(engine, {f"{PREFIX}session": name}) == []


@pytest.fixture
def manager(tiny: Stack) -> Iterator[StackServiceManager]:
    made = StackServiceManager(tiny)
    with made:
        yield made
    assert made.running == ALL


def test_a_stopped_service_is_back_and_ready_after_the_block(
    manager: StackServiceManager, tiny: Stack
) -> None:
    assert set(manager.services) == ALL
    with manager.stopped("db", "job"):
        assert manager.running == {"web"}
        assert not tiny.processes["job"].running
    assert manager.running == ALL
    assert tiny.exec("db", ["test", "-e", "/ready"]).exit_code == 0


def test_blocks_nest_and_each_goes_back_to_its_own_beginning(
    manager: StackServiceManager,
) -> None:
    with manager:
        manager.stop("web")
        with manager:
            manager.start("web")
            manager.kill("job")
            assert manager.running == {"db", "web"}
            with manager.started("job"):
                assert manager.running == ALL
            assert manager.running == {"db", "web"}
        assert manager.running == {"db", "job"}
    assert manager.running == ALL


def test_services_run_again_after_an_exception(manager: StackServiceManager) -> None:
    with pytest.raises(ValueError, match="mine"), manager.stopped("web"):
        raise ValueError("mine")
    assert manager.running == ALL


def test_pauses_and_removals_behind_its_back_are_mended(
    manager: StackServiceManager, tiny: Stack, engine: Engine
) -> None:
    with manager:
        engine.pause_container(tiny.container("db"))
        engine.remove_container(tiny.container("web"))
        assert manager.running == {"job"}
    assert manager.running == ALL
    engine.pause_container(tiny.container("db"))
    with manager:
        engine.unpause_container(tiny.container("db"))
    assert engine.inspect_container(tiny.container("db"))["State"]["Paused"]


def test_a_restart_makes_new_processes(manager: StackServiceManager, tiny: Stack) -> None:
    before = tiny.processes["job"].pid
    manager.restart("job")
    assert tiny.processes["job"].pid not in (None, before)


def test_it_manages_only_the_named_services(tiny: Stack) -> None:
    manager = StackServiceManager(tiny, ["web"])
    with manager.stopped():
        assert StackServiceManager(tiny).running == {"db", "job"}
    with pytest.raises(UnknownServiceError, match="the services are: db, web, job"):
        StackServiceManager(tiny, ["wbe"])
    with pytest.raises(UnknownServiceError, match="no service 'wbe'"):
        manager.stop("wbe")


def test_a_service_that_does_not_come_back_is_reported_and_hides_nothing(
    manager: StackServiceManager, tiny: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(units: object) -> None:
        raise StackError(f"cannot start {sorted(units)}")  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr(tiny, "launch", fail)
        with pytest.raises(ValueError, match="mine") as caught, manager.stopped("web"):
            raise ValueError("mine")
        with pytest.raises(StackError, match="cannot start"), manager:
            pass
    note = "the services could not be brought back to what they were: cannot start ['web']"
    assert caught.value.__notes__ == [note]
    manager.start()
    assert manager.running == ALL
