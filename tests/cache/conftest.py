"""A store in a directory of its own, with a clock that the test sets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore


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
