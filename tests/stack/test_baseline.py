"""The way back of a whole copy: which of its services are replaced, which are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockwright.errors import StackError
from dockwright.stack import Baseline, Stack
from tests.stack.conftest import StackMaker

pytestmark = pytest.mark.engine

CACHE = """
  cache:
    image: redis:7
    healthcheck: {test: [CMD, redis-cli, ping]}
"""
JOB = """
  job: {image: IMAGE, command: ['true'], depends_on: {cache: {condition: service_healthy}}}
  app:
    image: IMAGE
    command: [sleep, '600']
    depends_on: {job: {condition: service_completed_successfully}}
"""


@contextmanager
def captured(stack: Stack, scratch: Path) -> Iterator[Baseline]:
    if not stack.engine.has_image("redis:7"):
        pytest.skip("needs the image redis:7: scripts/ensure-images gets it")
    stack.start()
    baseline = Baseline(stack, scratch)
    try:
        baseline.capture()
        yield baseline
    finally:
        baseline.close()


def test_a_job_that_is_done_is_not_done_again(make_stack: StackMaker, tmp_path: Path) -> None:
    stack = make_stack(f"services: {CACHE}{JOB}")
    with captured(stack, tmp_path / "scratch") as baseline:
        before = dict(stack.containers)
        stack.exec("app", ["touch", "/left"])
        baseline.reset()
        assert stack.containers["cache"] == before["cache"]
        assert stack.containers["job"] == before["job"]
        assert stack.containers["app"] != before["app"]


def test_a_job_runs_again_after_its_service_was_recreated(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(f"services: {CACHE}    x-dockwright: {{reset: recreate}}{JOB}")
    with captured(stack, tmp_path / "scratch") as baseline:
        before = dict(stack.containers)
        baseline.reset()
        assert all(stack.containers[name] != before[name] for name in before)


def test_a_job_that_declares_recreate_is_recreated(make_stack: StackMaker, tmp_path: Path) -> None:
    job = JOB.replace("command: ['true']", "command: ['true'], x-dockwright: {reset: recreate}")
    stack = make_stack(f"services: {CACHE}{job}")
    with captured(stack, tmp_path / "scratch") as baseline:
        before = dict(stack.containers)
        baseline.reset()
        assert stack.containers["job"] != before["job"]


def test_a_server_that_shares_a_volume_with_what_is_replaced_is_captured_again(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(
        f"services: {CACHE}    volumes: ['data:/data']\n"
        "  reader: {image: IMAGE, command: [sleep, '600'], volumes: ['data:/data']}\n"
        "volumes: {data: {}}"
    )
    with captured(stack, tmp_path / "scratch") as baseline:
        before = stack.containers["cache"]
        for _ in range(2):
            assert stack.exec("cache", ["redis-cli", "set", "key", "value"]).stdout == "OK\n"
            baseline.reset()
            assert stack.exec("cache", ["redis-cli", "dbsize"]).stdout == "0\n"
        assert stack.containers["cache"] != before


PROCESSES = """
x-dockwright:
  processes:
    stateful: {command: [sleep, '600']}
    stateless: {command: [sleep, '600'], reset: none}
    client: {command: [sleep, '600'], reset: none, depends_on: [cache]}
"""


def pids(stack: Stack) -> dict[str, int]:
    return {name: each.child.pid for name, each in stack.processes.items() if each.child}


@pytest.mark.parametrize(
    ("way", "thorough", "renewed"),
    [
        ("", False, {"stateful"}),
        ("", True, {"stateful", "client"}),
        ("recreate", False, {"stateful", "client"}),
    ],
)
def test_a_stateless_process_stays_unless_a_service_that_it_uses_is_recreated(
    make_stack: StackMaker, tmp_path: Path, way: str, thorough: bool, renewed: set[str]
) -> None:
    said = f"    x-dockwright: {{reset: {way}}}\n" if way else ""
    stack = make_stack(f"services: {CACHE}{said}{PROCESSES}")
    with captured(stack, tmp_path / "scratch") as baseline:
        before = pids(stack)
        baseline.reset(thorough=thorough)
        assert {name for name, pid in pids(stack).items() if pid != before[name]} == renewed


def test_a_stateless_process_that_has_ended_is_started_again(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(f"services: {CACHE}{PROCESSES}")
    with captured(stack, tmp_path / "scratch") as baseline:
        stack.kill(["stateless"])
        baseline.reset()
        assert stack.processes["stateless"].running


def test_the_error_for_an_unfit_strategy_names_the_service(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(
        "services: {box: {image: IMAGE, command: [sleep, '600'], x-dockwright: {reset: postgres}}}"
    )
    stack.start()
    baseline = Baseline(stack, tmp_path / "scratch")
    with pytest.raises(StackError) as caught:
        baseline.capture()
    baseline.close()
    assert caught.value.message.startswith(
        "service box: its state cannot be saved (reset: postgres): "
    )
    assert "psql" in caught.value.message
    assert caught.value.hint
    assert "reset: recreate" in caught.value.hint
