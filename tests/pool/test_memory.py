"""How many copies fit into the memory that they may use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.pool.copies import Copy
from dockwright.pool.factory import Factory, FactoryOptions
from dockwright.pool.sizing import CopyRegistry
from dockwright.settings import Settings

if TYPE_CHECKING:
    from dockwright.engine import Engine

pytestmark = pytest.mark.engine

MB = 1 << 20


@pytest.mark.parametrize(("limit", "copies"), [(250 * MB, 2), (300 * MB, 3), (50 * MB, 1), (0, 3)])
def test_copies_do_not_exceed_the_memory_limit(
    engine: Engine, tmp_path: Path, limit: int, copies: int
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {web: {image: 'busybox:1'}}\n")
    settings = Settings(tmp_path, max_memory=limit)
    options = FactoryOptions("session", "project", "0", tmp_path, settings)
    factory = Factory("tiny", load(LoadOptions(files=(file,))), engine, options)
    factory.measured = 100 * MB
    started: list[Copy] = []
    registry = CopyRegistry(3, start=started.append, discard=started.remove)
    registry.declare("tiny", factory)
    for _ in range(3):
        registry.grow("tiny")
    assert len(started) == copies
    hints = [
        "hint: stack tiny had fewer copies than its tests could use: a copy needs 104.9 MB, and "
        f"dockwright_max_memory is {limit / 1e6:.1f} MB"
    ]
    assert list(options.advice.drain()) == (hints if copies < 3 else [])
