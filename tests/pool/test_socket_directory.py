"""The directory for sockets: private, with a short path, wherever there is a place for one."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from dockwright.errors import LeaseError
from dockwright.pool import runtime
from dockwright.pool.runtime import BrokerPlace, connect_or_start, runtime_directory
from dockwright.settings import Settings

NAME = f"dockwright-{os.getuid()}"


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files, and none for sockets."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(runtime, "_DIRECTORY_LIMIT", len(str(tmp_path / NAME)) + 10)
    return tmp_path


def test_it_is_private(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime_directory() == short / NAME
    assert stat.S_IMODE((short / NAME).stat().st_mode) == 0o700
    own = short / "run"
    own.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    assert runtime_directory() == own / "dockwright"


@pytest.mark.parametrize("why", ["too long", "not there", "a file"])
def test_an_unusable_socket_directory_is_replaced(
    short: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    place = short / ("x" * 50 if why == "too long" else "run")
    if why != "not there":
        place.mkdir()
    if why == "a file":
        (place / "dockwright").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    assert runtime_directory() == short / NAME


def test_without_a_runtime_directory_every_attempt_is_named(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_DIRECTORY_LIMIT", 3)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    with pytest.raises(LeaseError) as caught:
        runtime_directory()
    for directory in (short / "dockwright", short / NAME, Path("/tmp") / NAME):
        assert f"{directory}: its path is too long for a socket" in caught.value.message
    assert caught.value.hint
    assert "XDG_RUNTIME_DIR" in caught.value.hint


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory_is_refused(short: Path) -> None:
    (short / NAME).mkdir()
    os.chown(short / NAME, 65534, 65534)
    with pytest.raises(LeaseError, match="belongs to another user"):
        runtime_directory()


@pytest.mark.parametrize("what", ["address", "lock", "log"])
def test_a_directory_in_place_of_the_broker_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="dwt-") as short_path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short_path)
        place = BrokerPlace.of(tmp_path, "unix:///nowhere")
        suffix = {"address": "sock"}.get(what, what)
        (place.directory / f"{place.name}.{suffix}").mkdir()
        settings = Settings(tmp_path)
        with pytest.raises(LeaseError, match=r"cannot start the broker in .*irectory") as caught:
            connect_or_start(place, settings)
        assert caught.value.hint == (
            "check free space and write permission; XDG_RUNTIME_DIR sets another directory"
        )
