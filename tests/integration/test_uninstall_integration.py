"""``dockwright stack uninstall``: only what is ours, only what was asked for."""

from __future__ import annotations

import pytest

from tests._support.owned import Owned
from tests._support.project import Project
from tests.integration.helpers import (
    UNITS,
    change_data,
    data,
    home,
    units,
    without_engine,
    write_tiny,
)

pytestmark = pytest.mark.engine


def volumes(project: Project) -> int:
    return len(project.engine.list_volumes(project.labels))


@pytest.mark.stateful
def test_uninstall_removes_containers_and_keeps_data_for_the_next_start(
    changing_app: Project,
) -> None:
    change_data(changing_app, "uninstalled")
    before = data(changing_app)
    output = changing_app.done("stack", "uninstall", "--force")
    assert "--volumes" in output.err
    assert (volumes(changing_app), len(changing_app.left())) == (3, 3)
    changing_app.done("stack", "start")
    assert (data(changing_app), units(changing_app)) == (before, UNITS)


@pytest.mark.stateful
def test_with_all_nothing_is_left_and_a_second_run_says_so(tiny: Project) -> None:
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []
    assert not home(tiny).exists()
    assert "nothing to remove" in tiny.done("stack", "uninstall", "--force", "--all").err


@pytest.mark.stateful
def test_volumes_option_removes_the_data_too(tiny: Project) -> None:
    tiny.done("stack", "uninstall", "--force", "--volumes")
    assert tiny.left() == []
    assert home(tiny).exists()


@pytest.mark.stateful
def test_config_option_removes_settings_and_secrets(tiny: Project) -> None:
    tiny.done("stack", "uninstall", "--force", "--config")
    assert not (home(tiny) / ".env").exists()
    assert volumes(tiny) == 1


@pytest.mark.stateful
def test_foreign_files_in_the_config_directory_are_left_alone(tiny: Project) -> None:
    (home(tiny) / "notes.txt").write_text("mine")
    output = tiny.done("stack", "uninstall", "--force", "--all")
    assert (home(tiny) / "notes.txt").read_text() == "mine"
    assert "notes.txt: dockwright did not create it" in output.err


@pytest.mark.stateful
def test_foreign_resources_on_the_engine_are_left_alone(tiny: Project, owned: Owned) -> None:
    foreign = owned.run(tiny.image, "tail", "-f", "/dev/null")
    owned.engine.create_volume(f"{tiny.name}_foreign", {"Labels": owned.labels})
    owned.engine.create_network(f"{tiny.name}_foreign", {"Labels": owned.labels})
    before = owned.left()
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []
    assert (len(before), owned.left()) == (3, before)
    assert owned.engine.inspect_container(foreign)["State"]["Running"]


@pytest.mark.stateful
def test_a_network_in_use_by_another_container_is_reported(tiny: Project, owned: Owned) -> None:
    (network,) = tiny.engine.list_networks(tiny.labels)
    owned.run(tiny.image, "tail", "-f", "/dev/null", HostConfig={"NetworkMode": network["Name"]})
    refused = tiny.run("stack", "uninstall", "--force", "--all")
    assert refused.code == 1
    assert network["Name"] in refused.err
    owned.remove()
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []


@pytest.mark.stateless
def test_uninstall_lists_what_it_removes_and_asks(app: Project) -> None:
    refused = app.run("stack", "uninstall")
    assert refused.code == 2
    assert "--force" in refused.err
    assert all(kind in refused.out for kind in ("container", "process", "network"))
    assert units(app) == UNITS


@pytest.mark.stateless
def test_uninstalling_a_stack_that_never_existed_succeeds(project: Project) -> None:
    write_tiny(project, token=False)
    assert "nothing to remove" in project.done("stack", "uninstall", "--force").err


@pytest.mark.stateful
def test_without_an_engine_uninstall_fails_and_removes_nothing(tiny: Project) -> None:
    gone = without_engine(tiny).run("stack", "uninstall", "--force", "--all")
    assert gone.code == 1
    assert "nowhere.sock" in gone.err
    assert (tiny.running(), home(tiny).exists()) == ({"web", "side"}, True)


@pytest.mark.stateful
def test_uninstall_works_after_a_container_was_removed_by_hand(tiny: Project) -> None:
    tiny.engine.remove_container(tiny.container("side"))
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []
