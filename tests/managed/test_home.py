"""The config directory of a project: what is written is read back, and nothing by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.errors import ComposeError, SettingsError
from dockwright.managed import ConfigHome, InstalledSettings, config_base
from dockwright.managed.install import with_secrets

FILE = Path("settings.toml")


def settings(**changed: object) -> InstalledSettings:
    values: dict[str, object] = {
        "project": "shop",
        "files": (Path("/a b/compose.yaml"), Path('/quo"te/ü.yaml')),
        "directory": Path("/a b"),
        "profiles": ("mail",),
        "env_files": (Path("/a b/.env"),),
        "engine": "unix:///var/run/docker.sock",
        "created": "2026-01-31T08:00:00+00:00",
        "version": "0.1.0",
    }
    return InstalledSettings(**(values | changed))  # type: ignore[arg-type]  # the fields' own


def test_settings_round_trip() -> None:
    found = InstalledSettings.parse(settings().to_toml(), FILE)
    assert found == settings()
    assert (found.created, found.version) == (settings().created, "0.1.0")


def test_time_and_version_of_settings_are_not_compared() -> None:
    later = settings(created="later", version="9")
    assert settings() == later
    assert list(settings().differences(later)) == []
    other = settings(profiles=(), engine="")
    assert list(settings().differences(other)) == [
        "profiles: mail -> none",
        "engine: unix:///var/run/docker.sock -> none",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "this version of dockwright cannot read format 2"),
        ('project = "shop"', "", "'project' is missing"),
        ('project = "shop"', "project = ", "Invalid value"),
        ("profiles = [", "profiles = 3 # [", "not iterable"),
    ],
)
def test_wrong_settings_name_their_file(old: str, new: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r"settings\.toml") as failure:
        InstalledSettings.parse(settings().to_toml().replace(old, new), FILE)
    assert message in str(failure.value)


def test_the_place_of_config_directories(tmp_path: Path) -> None:
    named = {"DOCKWRIGHT_CONFIG_DIR": str(tmp_path / "variable")}
    assert config_base(tmp_path / "option", named) == tmp_path / "option"
    assert config_base(None, named) == tmp_path / "variable"
    assert config_base(None, {"DOCKWRIGHT_CONFIG_DIR": ""}).name == "dockwright"


@pytest.mark.parametrize("name", ["..", "a/b", "", "-x", "A"])
def test_a_name_cannot_leave_the_base_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ComposeError, match="invalid project name"):
        ConfigHome.of(tmp_path, name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    home = ConfigHome(tmp_path)
    home.write("settings.toml", "old")
    with pytest.raises(UnicodeEncodeError):
        home.write("settings.toml", "new \udc80")
    assert home.settings_file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    home = ConfigHome(tmp_path / "home")
    home.directory.mkdir()
    (home.directory / ".settings.toml.new").symlink_to(victim)
    with pytest.raises(OSError, match=r"settings\.toml\.new"):
        home.write("settings.toml", "new")
    assert victim.read_text() == "whole"


def test_only_what_was_installed_is_removed(tmp_path: Path) -> None:
    home = ConfigHome(tmp_path / "home")
    home.directory.mkdir()
    for name in ("settings.toml", ".env", "notes.txt"):
        (home.directory / name).touch()
    assert home.remove() == [home.directory / "notes.txt"]
    (home.directory / "notes.txt").unlink()
    assert home.remove() == []
    assert not home.directory.exists()


def test_secrets_replace_their_lines_only() -> None:
    text = "# mine\nexport A=1\nB = 2\nC=3\n"
    assert with_secrets(text, {"A": "x", "D": "it's"}, project="p") == (
        "# mine\nB = 2\nC=3\nA=x\nD='it\\'s'\n"
    )


def test_variables_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    home = ConfigHome(tmp_path)
    values = {"A": "it's $5 # no comment", "B": "plain", "C": ""}
    home.write(".env", with_secrets("", values, project="p"))
    assert home.values() == values
