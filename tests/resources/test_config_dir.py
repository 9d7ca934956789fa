"""A directory of a test's own, and a variable that is afterwards what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockwright.resources import TemporaryConfigDir
from tests.resources.conftest import workspaces

VARIABLE = "DOCKWRIGHT_CONFIG_DIR"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_variable_names_an_empty_private_directory(state: Path) -> None:
    with TemporaryConfigDir() as directory:
        assert os.environ[VARIABLE] == str(directory)
        assert list(directory.iterdir()) == []
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "sub").mkdir()
        (directory / "sub" / "settings.toml").write_text("a = 1")
    assert not directory.exists()
    assert workspaces(state) == []


def test_a_variable_that_was_not_set_is_not_set_afterwards() -> None:
    with TemporaryConfigDir():
        pass
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("before", ["", "/etc/mine", "relative"])
def test_a_variable_is_put_back_exactly(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, before)
    with TemporaryConfigDir():
        os.environ[VARIABLE] = "changed inside"
    assert os.environ[VARIABLE] == before


def test_everything_is_put_back_when_an_exception_passes(state: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TemporaryConfigDir():
        del os.environ[VARIABLE]
        raise KeyboardInterrupt
    assert VARIABLE not in os.environ
    assert workspaces(state) == []


def test_blocks_nest_and_each_goes_back_to_its_own_beginning() -> None:
    with TemporaryConfigDir() as outer:
        with TemporaryConfigDir() as inner:
            assert os.environ[VARIABLE] == str(inner)
            assert inner != outer
        assert os.environ[VARIABLE] == str(outer)
        assert outer.exists()
    assert VARIABLE not in os.environ


def test_any_variable_may_name_it() -> None:
    environ = {"OTHER": "x"}
    with TemporaryConfigDir("APP_CONFIG", environ=environ) as directory:
        assert environ == {"OTHER": "x", "APP_CONFIG": str(directory)}
        assert VARIABLE not in os.environ
    assert environ == {"OTHER": "x"}


def test_one_object_may_be_used_again_but_not_within_itself() -> None:
    config = TemporaryConfigDir()
    with config as first, pytest.raises(RuntimeError, match="open already; to nest, make another"):
        config.__enter__()
    with config as second:
        assert second.exists()
    assert not first.exists()


@pytest.mark.parametrize("name", ["", "A=B", "A\0B"])
def test_a_name_that_no_variable_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="an environment variable cannot be called"):
        TemporaryConfigDir(name)


def test_read_only_files_are_removed_too(state: Path) -> None:
    with TemporaryConfigDir() as directory:
        (directory / "locked").mkdir()
        (directory / "locked" / "key").touch(mode=0o400)
        (directory / "locked").chmod(0o500)
    assert workspaces(state) == []
