"""How many copies fit into the memory that they may use."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.errors import LeaseError
from dockwright.pool import Pool
from dockwright.pool.copies import Copy
from dockwright.pool.factory import Factory, FactoryOptions
from dockwright.pool.sizing import CopyRegistry
from dockwright.pool.timeline import PoolTimeline
from dockwright.settings import Settings
from tests.pool.conftest import eventually, exclusively

if TYPE_CHECKING:
    from dockwright.engine import Engine

pytestmark = pytest.mark.engine

MB = 1 << 20


HUNGRY = """
services:
  box:
    image: {image}
    cgroup_parent: {parent}
    command: [sh, -c, "until [ -e /hungry ]; do sleep 0.1; done; exec tail /dev/zero"]
"""


@pytest.fixture
def small_host() -> Iterator[str]:
    """A control group whose containers have 64 MB together, as on a host that has no more."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    limit = "memory.limit_in_bytes" if first.is_dir() else "memory.max"
    group = (first if first.is_dir() else second) / f"dwtest-{uuid.uuid4().hex[:8]}"
    if not os.access(group.parent, os.W_OK):
        pytest.skip("only root can make a control group")
    group.mkdir()
    (group / limit).write_text(str(64 * MB))
    yield f"/{group.name}"
    group.rmdir()


def test_a_host_without_memory_gets_fewer_copies(
    engine: Engine, scratch: str, small_host: str, tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(HUNGRY.format(image=scratch, parent=small_host))
    options = FactoryOptions("session", "project", "0", tmp_path, Settings(tmp_path))
    factory = Factory("hungry", load(LoadOptions(files=(file,))), engine, options)
    pool = Pool(engine, max_stacks=2, timeline=PoolTimeline())
    try:
        pool.declare("hungry", factory)
        calm, hungry = (
            pool.acquire(exclusively(each, "hungry"), timeout_s=60) for each in ("calm", "hungry")
        )
        hungry.stack.exec("box", ["touch", "/hungry"])
        box = hungry.stack.containers["box"]
        eventually(lambda: not engine.inspect_container(box)["State"]["Running"], "its end")
        pool.release(hungry)
        eventually(lambda: len(pool.statistics().stacks) == 1, "one copy only")
        pool.release(calm)
        pool.acquire(exclusively("later", "hungry"), timeout_s=60)
        with pytest.raises(LeaseError, match="no stack 'hungry' became free"):
            pool.acquire(exclusively("another", "hungry"), timeout_s=3)
    finally:
        pool.close()
    assert list(options.advice.drain())[-1] == (
        "warning: the host ran out of memory, which ended a service of stack hungry; from then on "
        "it had 1 copy at most\n  hint: set dockwright_max_stacks to 1, or dockwright_max_memory"
    )


def test_a_copy_counts_with_what_it_took_in_earlier_runs(
    engine: Engine, scratch: str, tmp_path: Path
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(f"services: {{box: {{image: '{scratch}', command: [sleep, '600']}}}}\n")
    asked: list[str] = []

    def peak_of(stack: str) -> int:
        asked.append(stack)
        return 1000 * MB

    options = FactoryOptions("session", "project", "0", tmp_path, Settings(tmp_path))
    options = replace(options, peak_of=peak_of)
    factory = Factory("tiny", load(LoadOptions(files=(file,))), engine, options)
    pool = Pool(engine, max_stacks=1, timeline=PoolTimeline())
    try:
        pool.declare("tiny", factory)
        pool.acquire(exclusively("one", "tiny"), timeout_s=60)
        eventually(lambda: factory.memory_bytes == 1000 * MB, "what it took before")
    finally:
        pool.close()
    assert asked == ["tiny"]


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
