"""One command at a time changes a stack; who waits is told whom for, and nothing is left of it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dockwright.engine import current_owner
from dockwright.errors import StackBusyError
from dockwright.managed import exclusive


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "dockwright" / "stacks"


@pytest.fixture
def held(state: Path) -> Iterator[int]:
    """The lock of the stack shop, as another process with pid 4711 would hold it."""
    state.mkdir(parents=True)
    descriptor = os.open(state / "shop.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    owner = asdict(replace(current_owner(), pid=4711))
    os.write(descriptor, json.dumps({"what": "restore", "since": 0, "owner": owner}).encode())
    yield descriptor
    os.close(descriptor)


def test_the_second_command_names_the_holder_of_the_lock(held: int) -> None:
    with pytest.raises(StackBusyError) as caught, exclusive("shop", what="backup"):
        pass
    text = str(caught.value)
    assert "stack shop is busy: `dockwright stack restore` is running (process 4711, since " in text
    assert "hint: wait until it has finished, or stop it" in text


def test_a_holder_that_has_not_written_its_name_yet(held: int) -> None:
    os.ftruncate(held, 0)
    with (
        pytest.raises(StackBusyError, match="another dockwright command is changing it"),
        exclusive("shop", what="backup"),
    ):
        pass


def test_another_stack_is_not_locked(held: int) -> None:
    with exclusive("mail", what="backup"):
        pass


def test_the_lock_of_a_killed_process_is_free(held: int, state: Path) -> None:
    fcntl.flock(held, fcntl.LOCK_UN)  # as the system does when a process dies
    with exclusive("shop", what="backup"):
        assert json.loads((state / "shop.lock").read_text())["what"] == "backup"
    assert list(state.iterdir()) == []


def test_the_lock_file_is_private_and_removed(state: Path) -> None:
    with exclusive("shop", what="backup"):
        assert (state / "shop.lock").stat().st_mode & 0o777 == 0o600
    assert list(state.iterdir()) == []


def test_the_holder_can_lock_again(state: Path) -> None:
    with exclusive("shop", what="update"):
        with exclusive("shop", what="backup"):
            pass
        assert (state / "shop.lock").exists()
        with exclusive("shop", what="restore"):
            pass
