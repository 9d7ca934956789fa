"""Fixtures as they are found in suites that nobody has told where their time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import docker
import pytest
from docker.models.containers import Container
from truths import (  # type: ignore[import-not-found]  # it lies beside, once it is run
    FOLLOWED,
    GRACE_S,
    INTERVAL_S,
    LABELS,
    compose,
    note,
    timed,
)


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """A client of its own for every test."""
    with timed("client"):
        made = docker.from_env()
    yield made
    made.close()


@pytest.fixture
def stubborn(client: docker.DockerClient) -> Iterator[Container]:
    """A container that does not hear SIGTERM."""
    ears = "trap '' TERM; while :; do sleep 0.1; done"
    container = client.containers.run("busybox:1", ["sh", "-c", ears], detach=True, labels=LABELS)
    yield container
    with timed("stopping"):
        if "grace" in FOLLOWED:
            container.kill()
        else:
            container.stop(timeout=GRACE_S)
            note("grace", GRACE_S)
    container.remove(force=True)


@pytest.fixture
def project() -> Iterator[None]:
    """The project, brought up and down for every test."""
    with timed("compose"):
        compose("up", "-d")
    yield
    with timed("compose"):
        compose("down")


@pytest.fixture
def healthy(client: docker.DockerClient) -> Iterator[Container]:
    """A container with a health check that would succeed at once."""
    container = client.containers.run(
        "busybox:1",
        ["tail", "-f", "/dev/null"],
        detach=True,
        labels=LABELS,
        healthcheck={"test": ["CMD", "true"], "interval": int(INTERVAL_S * 1e9)},
    )
    with timed("becoming healthy"):
        if "health" in FOLLOWED:
            assert container.exec_run("true").exit_code == 0
        else:
            _wait_until_healthy(container)
    yield container
    container.remove(force=True)


def _wait_until_healthy(container: Container) -> None:
    began = time.time()
    while True:
        container.reload()
        health = container.attrs["State"]["Health"]
        if health["Status"] == "healthy":
            break
        time.sleep(0.05)
    probed = datetime.fromisoformat(health["Log"][0]["Start"][:26] + "+00:00").timestamp()
    note("health", probed - began)
