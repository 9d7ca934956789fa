"""Real copies of small stacks, removed after each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX, Engine, current_owner
from dockwright.model import Ownership
from dockwright.stack import Identity, Stack, StackOptions
from tests._support.owned import leftovers

StackMaker = Callable[..., Stack]


@pytest.fixture
def make_stack(
    engine: Engine, scratch: str, unique_name: str, tmp_path: Path
) -> Iterator[StackMaker]:
    """Return a maker of stacks from Compose text, in which ``IMAGE`` stands for a tiny image."""
    made: list[Stack] = []

    def make(text: str, *, ready_timeout_s: float = 30.0, isolated: bool = True) -> Stack:
        file = tmp_path / f"compose{len(made)}.yaml"
        file.write_text(text.replace("IMAGE", scratch))
        ownership = Ownership(unique_name, "test", "default", current_owner(), time.time(), "0")
        stack = Stack(
            load(LoadOptions(files=(file,))),
            engine,
            Identity(f"{unique_name}-{len(made)}", ownership, isolated=isolated),
            StackOptions(
                log_directory=tmp_path / "logs",
                ready_timeout_s=ready_timeout_s,
                listen_timeout_s=5.0,  # many a service here declares ports that nothing serves
            ),
        )
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.remove()
    assert leftovers(engine, {f"{PREFIX}session": unique_name}) == []
