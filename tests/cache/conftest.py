"""A store in a directory of its own, with a clock that the test sets, and copies that use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.cache import BaselineStore
from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX
from dockwright.model import Json
from dockwright.pool import Factory, FactoryOptions
from dockwright.settings import Settings
from dockwright.stack import CachedStart, Stack
from tests._support.cache_entries import tar_of
from tests._support.owned import leftovers

if TYPE_CHECKING:
    from dockwright.engine import Engine

Start = Callable[..., tuple[Stack, CachedStart]]


@dataclass(slots=True)
class Clock:
    """Tells the time that it is set to."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> BaselineStore:
    return BaselineStore(tmp_path / "cache" / "baselines", clock=clock)


@dataclass(frozen=True, slots=True)
class Image:
    """A tag of the test's own, for images that have more files than the tiny one."""

    engine: Engine
    base: str
    name: str
    made: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str:
        return f"dockwright-test/{self.name}:1"

    def make(self, files: dict[str, bytes]) -> None:
        config: dict[str, Json] = {"Image": self.base, "Cmd": ["true"]}
        container = self.engine.create_container(f"{self.name}-image", config)
        try:
            self.engine.archive_in(container, "/", tar_of(**files))
            self.made.append(self.engine.sdk.api.commit(container, repository=self.tag)["Id"])
        finally:
            self.engine.remove_container(container)


@pytest.fixture
def image(engine: Engine, scratch: str, unique_name: str) -> Iterator[Image]:
    """Made before `start`, so that its containers are gone when it is removed."""
    image = Image(engine, scratch, unique_name)
    yield image
    for made in image.made:  # the tag means the last one only
        engine.remove_image(made, force=True)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small volumes take long to read on a busy machine, compared to a start that does nothing."""
    monkeypatch.setattr("dockwright.stack.cached_start._WORTH", 100.0)


@pytest.fixture
def start(
    engine: Engine,
    store: BaselineStore,
    unique_name: str,
    tmp_path: Path,
    image: Image,
    patience: None,
) -> Iterator[Start]:
    """Return what starts a copy of a Compose file as the pool does; it is removed afterwards."""
    options = FactoryOptions(
        session=unique_name,
        project="test",
        version="0",
        directory=tmp_path / "work",
        settings=Settings(tmp_path, start_timeout=60.0),
        store=store,
    )
    made: list[Stack] = []

    def start(
        file: Path, store: BaselineStore | None = store, *, wanted: bool = True
    ) -> tuple[Stack, CachedStart]:
        spec = load(LoadOptions(files=(file,), environ={}))
        factory = Factory("default", spec, engine, replace(options, store=store))
        stack = factory.new()
        made.append(stack)
        first = factory.start_of(stack)
        first.run()
        first.read()
        first.keep(wanted=lambda: wanted)
        return stack, first

    yield start
    for stack in made:
        stack.remove()
    assert leftovers(engine, {f"{PREFIX}session": unique_name}) == []
