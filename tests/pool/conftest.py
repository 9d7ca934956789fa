"""A tiny real stack for the tests of the pool."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX, Engine
from dockwright.model import Requirement
from dockwright.pool import Factory, FactoryOptions, Pool, SeedKey
from dockwright.pool.timeline import PoolTimeline
from dockwright.settings import Settings
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.owned import leftovers

PoolMaker = Callable[..., Pool]

COMPOSE = """
name: tiny
services:
  box:
    image: {image}
    command: ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"]
    healthcheck: {{test: ["CMD-SHELL", "true"], interval: 10s}}
"""


@pytest.fixture
def session_id() -> str:
    """The id of a session that nobody else has."""
    return secrets.token_hex(4)


@pytest.fixture
def compose_file(scratch: str, tmp_path: Path) -> Path:
    """A Compose file with one service that keeps state in its container."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.format(image=scratch))
    return file


@pytest.fixture
def make_pool(
    engine: Engine, compose_file: Path, session_id: str, tmp_path: Path
) -> Iterator[PoolMaker]:
    """Return a maker of pools that know the stack ``tiny``; they are closed after the test."""
    pools: list[Pool] = []

    def make(
        *, max_stacks: int = 2, files: dict[str, Path] | None = None, seed: SeedKey | None = None
    ) -> Pool:
        options = FactoryOptions(
            session=session_id,
            project="test",
            version="0",
            directory=tmp_path / "work",
            settings=Settings(tmp_path, start_timeout=30.0),
        )
        pool = Pool(engine, max_stacks=max_stacks, timeline=PoolTimeline())
        for name, file in (files or {"tiny": compose_file}).items():
            spec = load(LoadOptions(files=(file,)))
            pool.declare(name, Factory(name, spec, engine, options, seed))
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()
    assert leftovers(engine, {f"{PREFIX}session": session_id}) == []


def exclusively(holder: str, stack: str = "tiny") -> Requirement:
    return Requirement(stack, exclusive=True, scope="function", holder=holder)


def shared(holder: str, stack: str = "tiny") -> Requirement:
    return Requirement(stack, exclusive=False, scope="function", holder=holder)


def eventually(check: Callable[[], bool], what: str) -> None:
    def outcome() -> Outcome:
        return Ready() if check() else Continue("not yet")

    until(outcome, subject=what, timeout_s=60.0)
