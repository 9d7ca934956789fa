"""Tests with waste whose amount is known."""

import os
import time

import pytest
from conftest import FOLLOWED, truth

SLEEP_S = float(os.environ.get("WASTEFUL_SLEEP", "0.25"))


@pytest.mark.parametrize("number", range(12))
def test_sleeps(number):
    if FOLLOWED != "sleep":
        with truth("sleep"):
            time.sleep(SLEEP_S)


@pytest.mark.parametrize("number", range(3))
def test_stops(number, stubborn):
    stubborn.reload()
    assert stubborn.status == "running"


def test_waits_for_health(healthy):
    with truth("statistics"):
        healthy.stats(stream=False)


@pytest.mark.parametrize("number", range(2))
def test_uses_a_project(number, project, client):
    assert client.containers.list(filters={"name": "web"})


def test_cleans_up_what_is_not_there():
    from conftest import compose

    with truth("cleanup"):
        compose("down")
