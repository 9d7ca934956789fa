"""Tests with waste whose amount is known."""

from __future__ import annotations

import time

import docker
import pytest
from docker.models.containers import Container
from truths import (  # type: ignore[import-not-found]  # it lies beside, once it is run
    FOLLOWED,
    PROJECT,
    SLEEP_S,
    compose,
    timed,
)


@pytest.mark.parametrize("number", range(12))
def test_sleeps(number: int) -> None:
    if "sleep" not in FOLLOWED:
        with timed("sleep"):
            time.sleep(SLEEP_S)


@pytest.mark.parametrize("number", range(3))
def test_stops(number: int, stubborn: Container) -> None:
    stubborn.reload()
    assert stubborn.status == "running"


def test_waits_for_health(healthy: Container) -> None:
    with timed("statistics"):
        healthy.stats(stream=False)


@pytest.mark.parametrize("number", range(2))
@pytest.mark.usefixtures("project")
def test_uses_a_project(number: int, client: docker.DockerClient) -> None:
    assert client.containers.list(filters={"name": PROJECT})


def test_cleans_up_missing_resources() -> None:
    with timed("cleanup"):
        compose("down")
