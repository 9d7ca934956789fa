"""``dockwright stack uninstall``: only what is ours, only what was asked for."""

from __future__ import annotations

import pytest

from tests.cli.project import Project
from tests.integration.helpers import home, write_app
from tests.support import Owned

pytestmark = pytest.mark.engine


def volumes(project: Project) -> int:
    return len(project.engine.list_volumes(project.labels))


@pytest.mark.stateful
def test_containers_and_networks_go_and_data_stays(started: Project) -> None:
    told = started.done("stack", "uninstall", "--force")
    assert started.engine.list_containers(started.labels) == []
    assert started.engine.list_networks(started.labels) == []
    assert volumes(started) == 1
    assert "--volumes" in told.err


@pytest.mark.stateful
def test_with_volumes_the_data_goes_too(started: Project) -> None:
    started.done("stack", "uninstall", "--force", "--volumes")
    assert started.left() == []
    assert home(started).exists()


@pytest.mark.stateful
def test_with_config_settings_and_secrets_go(started: Project) -> None:
    started.done("stack", "uninstall", "--force", "--config")
    assert not (home(started) / ".env").exists()
    assert volumes(started) == 1


@pytest.mark.stateful
def test_with_all_nothing_is_left_and_a_second_run_says_so(started: Project) -> None:
    started.done("stack", "uninstall", "--force", "--all")
    assert started.left() == []
    assert not home(started).exists()
    assert "nothing to remove" in started.done("stack", "uninstall", "--force", "--all").err


@pytest.mark.stateful
def test_foreign_files_of_the_config_directory_stay(started: Project) -> None:
    (home(started) / "notes.txt").write_text("mine")
    started.done("stack", "uninstall", "--force", "--all")
    assert (home(started) / "notes.txt").read_text() == "mine"


@pytest.mark.stateful
def test_foreign_things_on_the_engine_stay(started: Project, owned: Owned) -> None:
    foreign = owned.run(started.image, "tail", "-f", "/dev/null")
    started.done("stack", "uninstall", "--force", "--all")
    assert owned.engine.inspect_container(foreign)["State"]["Running"]


@pytest.mark.stateless
def test_it_shows_what_goes_and_asks(app: Project) -> None:
    refused = app.run("stack", "uninstall")
    assert refused.code == 2
    assert "--force" in refused.err
    assert "container" in refused.out
    assert app.running() == {"web", "side"}


@pytest.mark.stateful
def test_what_never_existed_is_fine(project: Project) -> None:
    write_app(project, token=False)
    assert "nothing to remove" in project.done("stack", "uninstall", "--force").err


@pytest.mark.stateful
def test_it_can_be_started_again_with_its_data(started: Project) -> None:
    started.done("stack", "uninstall", "--force")
    started.done("stack", "start")
    result = started.engine.exec(started.container("web"), ["cat", "/data/a/one"])
    assert result.stdout == b"one\n"


@pytest.mark.stateful
def test_a_container_that_was_removed_by_hand_is_no_matter(started: Project) -> None:
    started.engine.remove_container(started.container("side"))
    started.done("stack", "uninstall", "--force", "--all")
    assert started.left() == []
