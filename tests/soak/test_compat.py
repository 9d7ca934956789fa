"""A suite of testcontainers that is killed at any moment leaves nothing, without a reaper."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from dockwright.engine import Engine
from dockwright.wait import until
from tests._support.sample import FULL
from tests._support.soak_suite import Suite, kill_group, there
from tests.soak.conftest import rounds

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200 if FULL else 300)]

ALONE_S = 2.0 if FULL else 10.0
"""How soon a living broker has removed everything; the sample runs beside other tests."""

_TESTS = """
import pytest
from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.network import Network
from testcontainers.redis import RedisContainer

@pytest.fixture(scope="session")
def shared():
    with RedisContainer("redis:7") as container:
        yield container

@pytest.mark.parametrize("number", range(6))
def test_changes(shared, number):
    with RedisContainer("redis:7") as cache:
        assert cache.get_client().dbsize() == 0
        cache.get_client().set("number", number)
    shared.get_client().set(f"number-{number}", number)
    assert Reaper._container is None

@pytest.mark.parametrize("number", range(2))
def test_of_its_own(number):
    sleeps = DockerContainer("busybox:1", command="sleep 600")
    with Network() as network, sleeps.with_network(network) as container:
        assert container.exec("true").exit_code == 0
"""


@pytest.fixture
def containers(suite: Suite) -> Suite:
    """The suite of the crash tests, with single containers instead of a stack."""
    (suite.root / "compose.yaml").unlink()
    (suite.root / "test_crash.py").write_text(_TESTS)
    with (suite.root / "pytest.ini").open("a") as file:
        file.write("dockwright_compat = testcontainers\n")
    return suite


def test_a_killed_run_of_two_workers_leaves_nothing(
    containers: Suite, engine: Engine, report: Callable[[str], None]
) -> None:
    began = time.monotonic()
    code, output = containers.run("-n", "2")
    assert code == 0, output
    whole_s = time.monotonic() - began
    moments = random.Random(11)
    pause = threading.Event()
    slowest_s, found = 0.0, 0
    for _ in range(rounds(1, 50)):
        process = containers.start("-n", "2")
        until(lambda: there(containers, engine), subject="a container", timeout_s=100.0)
        pause.wait(moments.random() * whole_s / 2)  # the random moment
        found += len(containers.left(engine))
        kill_group(process)
        process.communicate(timeout=60)
        slowest_s = max(slowest_s, containers.wait_until_nothing_is_left(engine, timeout_s=ALONE_S))
    report(f"killed with {found} things there: nothing left after {slowest_s:.2f} s at most")
    assert found > 0
