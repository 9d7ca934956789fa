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
def test_all_that_runs_goes_and_data_stays_for_the_next_start(changing_app: Project) -> None:
    change_data(changing_app, "uninstalled")
    before = data(changing_app)
    told = changing_app.done("stack", "uninstall", "--force")
    assert "--volumes" in told.err
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
def test_with_volumes_the_data_goes_too(tiny: Project) -> None:
    tiny.done("stack", "uninstall", "--force", "--volumes")
    assert tiny.left() == []
    assert home(tiny).exists()


@pytest.mark.stateful
def test_with_config_settings_and_secrets_go(tiny: Project) -> None:
    tiny.done("stack", "uninstall", "--force", "--config")
    assert not (home(tiny) / ".env").exists()
    assert volumes(tiny) == 1


@pytest.mark.stateful
def test_foreign_files_of_the_config_directory_stay(tiny: Project) -> None:
    (home(tiny) / "notes.txt").write_text("mine")
    told = tiny.done("stack", "uninstall", "--force", "--all")
    assert (home(tiny) / "notes.txt").read_text() == "mine"
    assert "notes.txt stays: it is not dockwright's" in told.err


@pytest.mark.stateful
def test_foreign_things_on_the_engine_stay(tiny: Project, owned: Owned) -> None:
    foreign = owned.run(tiny.image, "tail", "-f", "/dev/null")
    owned.engine.create_volume(f"{tiny.name}_foreign", {"Labels": owned.labels})
    owned.engine.create_network(f"{tiny.name}_foreign", {"Labels": owned.labels})
    before = owned.left()
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []
    assert (len(before), owned.left()) == (3, before)
    assert owned.engine.inspect_container(foreign)["State"]["Running"]


@pytest.mark.stateful
def test_a_network_that_somebody_else_uses_is_told(tiny: Project, owned: Owned) -> None:
    (network,) = tiny.engine.list_networks(tiny.labels)
    owned.run(tiny.image, "tail", "-f", "/dev/null", HostConfig={"NetworkMode": network["Name"]})
    refused = tiny.run("stack", "uninstall", "--force", "--all")
    assert refused.code == 1
    assert network["Name"] in refused.err
    owned.remove()
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []


@pytest.mark.stateless
def test_it_shows_what_goes_and_asks(app: Project) -> None:
    refused = app.run("stack", "uninstall")
    assert refused.code == 2
    assert "--force" in refused.err
    assert all(kind in refused.out for kind in ("container", "process", "network"))
    assert units(app) == UNITS


@pytest.mark.stateless
def test_what_never_existed_is_fine(project: Project) -> None:
    write_tiny(project, token=False)
    assert "nothing to remove" in project.done("stack", "uninstall", "--force").err


@pytest.mark.stateful
def test_an_engine_that_is_gone_is_told_and_nothing_goes(tiny: Project) -> None:
    gone = without_engine(tiny).run("stack", "uninstall", "--force", "--all")
    assert gone.code == 1
    assert "nowhere.sock" in gone.err
    assert (tiny.running(), home(tiny).exists()) == ({"web", "side"}, True)


@pytest.mark.stateful
def test_a_container_that_was_removed_by_hand_is_no_matter(tiny: Project) -> None:
    tiny.engine.remove_container(tiny.container("side"))
    tiny.done("stack", "uninstall", "--force", "--all")
    assert tiny.left() == []
