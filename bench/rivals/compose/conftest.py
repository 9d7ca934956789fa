"""Docker Compose by hand: up and down around each test that changes state, polled every 0.5 s."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

FILES = os.environ["BENCH_COMPOSE_FILES"].split(os.pathsep)
numbers = count(1)


def compose(project: str, *arguments: str) -> str:
    options = [part for file in FILES for part in ("-f", file)]
    command = [*shlex.split(os.environ["BENCH_COMPOSE"]), *options, "-p", project, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def wait_until_healthy(project: str) -> None:
    for _ in range(120):
        told = json.loads(compose(project, "ps", "--format", "json", "web"))
        if told["Health"] == "healthy":
            return
        time.sleep(0.5)
    raise TimeoutError(project)


@contextmanager
def running_shop() -> Iterator[str]:
    project = f"dwbench-{os.environ['BENCH_RUN']}-{os.getpid()}-{next(numbers)}"
    try:
        compose(project, "up", "--detach")
        wait_until_healthy(project)
        address = compose(project, "port", "web", "8000").strip().replace("0.0.0.0", "127.0.0.1")
        yield f"http://{address}"
    finally:
        compose(project, "down", "--volumes")


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    with running_shop() as url:
        yield url


@pytest.fixture
def shop_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.node.get_closest_marker("stateless"):
        yield request.getfixturevalue("shared_url")
        return
    with running_shop() as url:
        yield url
