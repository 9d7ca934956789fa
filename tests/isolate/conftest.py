"""Fixtures of the tests of worlds, which only root on Linux can make."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.isolate.runs import Worlds


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Worlds]:
    """A suite's directory and a cache, and a look for what is left of its worlds at the end."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    if os.geteuid() != 0:
        pytest.skip("only root can make worlds")
    suite, cache = tmp_path / "suite", tmp_path / "cache"
    suite.mkdir()
    cache.mkdir()
    made = Worlds(suite, cache)
    yield made

    def nothing_is_left() -> Outcome:
        left = made.left()
        return Continue(", ".join(left)) if left else Ready()

    until(nothing_is_left, subject="all of the test's worlds to go", timeout_s=20)
