"""A container that a test broke is not leased again, however and whenever the engine reports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.pool import LeasedStack
from tests.pool.conftest import PoolMaker, exclusively, shared
from tests.soak.conftest import rounds

pytestmark = pytest.mark.engine
WAIT_S = 60.0

COMPOSE = """
name: mortal
services:
  box:
    image: {image}
    command:
      - sh
      - -c
      - "trap 'exit 3' TERM; while :; do sleep 0.1; rm /grow 2>/dev/null && x=$$(yes); done"
    mem_limit: 16m
    stop_grace_period: 1s
"""

UNTIL_DEATH = "; sleep 60"
"""Keeps a command in the container waiting: its answer comes when the container has died."""


def kill(stack: LeasedStack, engine: Engine) -> None:
    del engine
    stack.kill("box")


def stop(stack: LeasedStack, engine: Engine) -> None:
    del engine
    stack.stop("box")


def pause(stack: LeasedStack, engine: Engine) -> None:
    engine.pause_container(stack.container("box"))


def exit_by_itself(stack: LeasedStack, engine: Engine) -> None:
    del engine
    stack.exec("box", ["sh", "-c", f"kill -TERM 1{UNTIL_DEATH}"])


def run_out_of_memory(stack: LeasedStack, engine: Engine) -> None:
    del engine
    stack.exec("box", ["sh", "-c", f"touch /grow{UNTIL_DEATH}"])


DEATHS: tuple[Callable[[LeasedStack, Engine], None], ...] = (
    kill,
    stop,
    pause,
    exit_by_itself,
    run_out_of_memory,
)


@pytest.mark.timeout(1800)
def test_no_broken_copy_is_leased(
    make_pool: PoolMaker, engine: Engine, scratch: str, tmp_path: Path
) -> None:
    file = tmp_path / "mortal.yaml"
    file.write_text(COMPOSE.format(image=scratch))
    pool = make_pool(max_stacks=1, files={"mortal": file})
    for number in range(rounds(sample=5, full=200)):
        die = DEATHS[number % len(DEATHS)]
        require = exclusively if number // len(DEATHS) % 2 else shared
        lease = pool.acquire(require(f"{number} {die.__name__}", "mortal"), timeout_s=WAIT_S)
        assert lease.leased.exec("box", ["echo", "alive"]).stdout == "alive\n"
        die(lease.leased, engine)
        pool.release(lease)
        lease = pool.acquire(shared(f"{number} next", "mortal"), timeout_s=WAIT_S)
        answer = lease.leased.exec("box", ["echo", "alive"]).stdout
        assert answer == "alive\n", f"leased after {die.__name__} in round {number}"
        pool.release(lease)
