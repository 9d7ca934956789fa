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


def test_the_second_is_told_who_has_it(held: int) -> None:
    with pytest.raises(StackBusyError) as caught, exclusive("shop", what="backup"):
        pass
    text = str(caught.value)
    assert "stack shop is busy: `dockwright stack restore` is running (process 4711, since " in text
    assert "hint: wait until it has finished, or stop it" in text


def test_who_holds_it_may_not_have_said_so_yet(held: int) -> None:
    os.ftruncate(held, 0)
    with (
        pytest.raises(StackBusyError, match="another dockwright command is changing it"),
        exclusive("shop", what="backup"),
    ):
        pass


def test_another_stack_is_free(held: int) -> None:
    with exclusive("mail", what="backup"):
        pass


def test_what_a_killed_holder_left_is_free(held: int, state: Path) -> None:
    fcntl.flock(held, fcntl.LOCK_UN)  # as the system does when a process dies
    with exclusive("shop", what="backup"):
        assert json.loads((state / "shop.lock").read_text())["what"] == "backup"
    assert list(state.iterdir()) == []


def test_its_file_is_private_and_goes_with_it(state: Path) -> None:
    with exclusive("shop", what="backup"):
        assert (state / "shop.lock").stat().st_mode & 0o777 == 0o600
    assert list(state.iterdir()) == []


def test_who_has_it_has_it(state: Path) -> None:
    with exclusive("shop", what="update"):
        with exclusive("shop", what="backup"):
            pass
        assert (state / "shop.lock").exists()
        with exclusive("shop", what="restore"):
            pass
