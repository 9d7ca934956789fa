"""An audited lease shares its stack with nobody, and says what its holder did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import LeaseClosedError, LeaseError
from dockwright.model import Requirement
from tests._support.engine.scratch import SCRATCH
from tests.pool.conftest import PoolMaker, exclusively, shared

pytestmark = pytest.mark.engine
WAIT_S = 60.0

BUSY = f"""
name: busy
services:
  box:
    image: {SCRATCH}
    command: ["sh", "-c", "while :; do date +%N > /data/beat; sleep 0.1; done"]
    volumes: ["data:/data"]
volumes:
  data: {{}}
"""


COMMAND = f"""
name: command
services:
  box:
    image: {SCRATCH}
    command: ["sh", "-c", "while :; do sleep 0.1; done"]
    x-dockwright: {{reset: command, options: {{command: "true"}}}}
"""


def audited(holder: str) -> Requirement:
    return replace(shared(holder), audited=True)


def run(engine: Engine, container: str, *command: str) -> None:
    """Run a command like a test would: not through the engine of the pool."""
    other = engine.sdk.containers.get(container)
    assert other.exec_run(list(command)).exit_code == 0


def test_nobody_shares_the_stack_and_its_traces_are_undone(
    make_pool: PoolMaker, engine: Engine
) -> None:
    pool = make_pool(max_stacks=1)
    lease = pool.acquire(audited("1 test_that_lies"), timeout_s=WAIT_S)
    assert pool.audit(lease, before=True) == []
    with pytest.raises(LeaseError):
        pool.acquire(shared("2 test_that_waits"), timeout_s=0.2)
    run(engine, lease.stack.container("box"), "touch", "/left")
    assert list(map(str, pool.audit(lease, before=False))) == ["box: file /left (added)"]
    assert pool.audit(lease, before=False) == []
    pool.release(lease)
    with pytest.raises(LeaseClosedError):
        pool.audit(lease, before=False)
    after = pool.acquire(exclusively("3 test_after_it"), timeout_s=WAIT_S)
    assert after.leased.exec("box", ["test", "-e", "/left"]).exit_code == 1


def test_a_container_that_was_stopped_is_named_and_comes_back(
    make_pool: PoolMaker, engine: Engine
) -> None:
    pool = make_pool(max_stacks=1)
    lease = pool.acquire(audited("1 test_that_stops"), timeout_s=WAIT_S)
    pool.audit(lease, before=True)
    engine.kill_container(lease.stack.container("box"))
    assert list(map(str, pool.audit(lease, before=False))) == [
        "box: container (stopped, started again, paused or removed)"
    ]
    pool.release(lease)
    after = pool.acquire(exclusively("2 test_after_it"), timeout_s=WAIT_S)
    assert after.leased.exec("box", ["true"]).exit_code == 0


def test_changes_that_a_stack_makes_by_itself_are_not_reported(
    make_pool: PoolMaker, tmp_path: Path
) -> None:
    file = tmp_path / "busy.yaml"
    file.write_text(BUSY)
    pool = make_pool(max_stacks=1, files={"tiny": file})
    lease = pool.acquire(audited("1 test_that_reads"), timeout_s=WAIT_S)
    assert pool.audit(lease, before=True) == []
    assert pool.audit(lease, before=False) == []


def test_a_service_that_a_command_resets_may_always_have_changed(
    make_pool: PoolMaker, tmp_path: Path
) -> None:
    file = tmp_path / "command.yaml"
    file.write_text(COMMAND)
    pool = make_pool(max_stacks=1, files={"tiny": file})
    lease = pool.acquire(audited("1 test_that_reads"), timeout_s=WAIT_S)
    pool.audit(lease, before=True)
    assert list(map(str, pool.audit(lease, before=False))) == ["box: data (perhaps changed)"]
