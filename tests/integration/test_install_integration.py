"""``dockwright stack install`` and ``check``: settings, secrets, checks, on a real engine."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from tests._support.project import Project, free_port
from tests.integration.helpers import home, unprivileged, without_engine, write_tiny

pytestmark = pytest.mark.engine


@pytest.fixture
def fresh(project: Project) -> Project:
    """A project that is not installed yet."""
    write_tiny(project)
    return project


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.stateful
def test_install_writes_settings_and_a_fresh_secret(fresh: Project) -> None:
    fresh.done("stack", "install")
    assert "TOKEN=" in (home(fresh) / ".env").read_text()
    assert (home(fresh) / "settings.toml").exists()


@pytest.mark.stateful
def test_only_the_owner_can_read_what_install_writes(fresh: Project) -> None:
    fresh.done("stack", "install", "--no-check")
    assert mode(home(fresh)) == 0o700
    assert {mode(each) for each in home(fresh).iterdir()} == {0o600}


@pytest.mark.stateful
def test_secrets_are_strong_and_unique(fresh: Project) -> None:
    found = set()
    for name in ("one", "two"):
        place = fresh.directory / name
        fresh.done("stack", "install", "--no-check", "--config-dir", str(place))
        found.add((place / fresh.name / ".env").read_text())
    assert len(found) == 2
    assert all(len(text.partition("TOKEN=")[2].strip().strip("'\"")) >= 24 for text in found)


@pytest.mark.stateful
def test_install_again_changes_nothing(fresh: Project) -> None:
    fresh.done("stack", "install", "--no-check")
    before = (home(fresh) / ".env").read_text()
    assert "nothing changed" in fresh.done("stack", "install", "--no-check").err
    assert (home(fresh) / ".env").read_text() == before


@pytest.mark.stateful
def test_different_configuration_is_not_overwritten_without_asking(fresh: Project) -> None:
    fresh.done("stack", "install", "--no-check")
    (home(fresh) / "settings.toml").write_text("profiles = ['mine']\n")
    refused = fresh.run("stack", "install", "--no-check")
    assert refused.code == 2
    assert "--force" in refused.err
    assert "mine" in (home(fresh) / "settings.toml").read_text()
    fresh.done("stack", "install", "--no-check", "--force")


@pytest.mark.stateful
def test_foreign_files_in_the_config_directory_are_kept(fresh: Project) -> None:
    home(fresh).mkdir(parents=True)
    (home(fresh) / "notes.txt").write_text("mine")
    fresh.done("stack", "install", "--no-check")
    assert (home(fresh) / "notes.txt").read_text() == "mine"


@pytest.mark.stateful
def test_an_installed_project_starts_with_its_secret(fresh: Project) -> None:
    assert fresh.run("stack", "config").code == 0
    fresh.done("stack", "install", "--no-check")
    fresh.done("stack", "start")
    (secret,) = [
        line.partition("=")[2].strip("'\"")
        for line in (home(fresh) / ".env").read_text().splitlines()
        if line.startswith("TOKEN=")
    ]
    environment = fresh.engine.inspect_container(fresh.container("web"))["Config"]["Env"]
    assert f"TOKEN={secret}" in environment


@pytest.mark.stateful
def test_an_installed_project_is_found_by_its_name_from_anywhere(
    fresh: Project, tmp_path: Path
) -> None:
    fresh.done("stack", "install", "--no-check")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    away = Project(elsewhere, fresh.name, fresh.engine, fresh.image, fresh.environ)
    assert "web" in away.done("stack", "config", "-p", fresh.name).out


@pytest.mark.stateful
def test_a_config_directory_without_permission_is_an_error(fresh: Project) -> None:
    place = fresh.directory / "locked"
    place.mkdir(mode=0o500)
    command = ("stack", "install", "--no-check", "--config-dir", str(place / "config"))
    refused = unprivileged(fresh).run_apart(*command)
    assert refused.code == 1
    assert f"{place}/config" in refused.err
    assert "Permission denied" in refused.err
    assert list(place.iterdir()) == []


@pytest.mark.stateful
def test_a_full_disk_is_an_error_and_leaves_no_partial_files(
    fresh: Project, small_disk: Path
) -> None:
    with suppress(OSError), (small_disk / "large").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    command = ("stack", "install", "--no-check", "--config-dir", str(small_disk / "config"))
    refused = fresh.run(*command)
    assert refused.code == 1
    assert "No space left on device" in refused.err
    assert [each.name for each in small_disk.rglob("*") if each.is_file()] == ["large"]


@pytest.mark.stateful
def test_a_file_instead_of_the_config_directory_is_an_error(fresh: Project) -> None:
    (fresh.directory / "file").touch()
    refused = fresh.run(
        "stack", "install", "--no-check", "--config-dir", str(fresh.directory / "file")
    )
    assert refused.code == 2
    assert f"'{fresh.directory}/file' is a file" in refused.err


@pytest.mark.stateful
def test_a_missing_image_fails_the_install_and_writes_nothing_half(project: Project) -> None:
    project.write("web: {image: 'dockwright.invalid/nowhere:1'}")
    refused = project.run("stack", "install")
    assert refused.code == 1
    assert "dockwright.invalid/nowhere:1" in refused.err
    assert not home(project).exists()


@pytest.mark.stateless
def test_check_passes_for_a_running_stack(app: Project) -> None:
    output = json.loads(app.done("stack", "check", "--json").out)
    assert output["ok"]
    assert "image of db" in {each["name"] for each in output["findings"]}


@pytest.mark.stateless
@pytest.mark.parametrize("what", ["configuration", "engine", "disk", "secrets", "image of web"])
def test_check_lists_each_finding(app: Project, what: str) -> None:
    assert what in app.done("stack", "check").out


@pytest.mark.stateful
def test_check_fails_on_a_used_port_with_a_remedy(fresh: Project) -> None:
    port = free_port()
    fresh.write(f"web: {{image: IMAGE, ports: ['127.0.0.1:{port}:80']}}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = fresh.run("stack", "check")
    assert result.code == 1
    assert str(port) in result.out + result.err


@pytest.mark.stateful
def test_check_reports_a_missing_engine(fresh: Project) -> None:
    result = without_engine(fresh).run("stack", "check")
    assert result.code == 1
    assert "nowhere.sock" in result.out + result.err
