"""What a suite does that nobody has told where its time goes; it keeps its own truth beside."""

import json
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

HERE = Path(__file__).parent
COMPOSE = os.environ.get("WASTEFUL_COMPOSE", "docker-compose")
PROJECT = os.environ["WASTEFUL_PROJECT"]
INTERVAL_S = float(os.environ.get("WASTEFUL_INTERVAL", "3"))
GRACE_S = int(os.environ.get("WASTEFUL_GRACE", "1"))
FOLLOWED = os.environ.get("WASTEFUL_FOLLOWED", "")
LABELS = {"dockwright-test": PROJECT}


@contextmanager
def truth(cause):
    """Note how long something took, in the words of the profile."""
    began = time.monotonic()
    try:
        yield
    finally:
        line = json.dumps([cause, time.monotonic() - began])
        with Path(os.environ["WASTEFUL_TRUTH"]).open("a") as file:
            file.write(line + "\n")


@pytest.fixture
def client():
    """A client of its own for every test."""
    with truth("client"):
        made = docker.from_env()
    yield made
    made.close()


@pytest.fixture
def stubborn(client):
    """A container that does not hear SIGTERM."""
    container = client.containers.run(
        "busybox:1", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
        detach=True, labels=LABELS,
    )  # fmt: skip
    yield container
    with truth("grace"):
        container.stop(timeout=GRACE_S)
    container.remove()


def compose(*words):
    """Run a compose command on the project."""
    command = [*COMPOSE.split(), "-p", PROJECT, "-f", str(HERE / "compose.yaml"), *words]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


@pytest.fixture
def project():
    """The project, brought up and down for every test."""
    with truth("compose"):
        compose("up", "-d")
    yield
    with truth("compose"):
        compose("down")


@pytest.fixture
def healthy(client):
    """A container with a health check that would succeed at once."""
    second = 1_000_000_000
    container = client.containers.run(
        "busybox:1", ["tail", "-f", "/dev/null"], detach=True, labels=LABELS,
        healthcheck={"test": ["CMD", "true"], "interval": int(INTERVAL_S * second)},
    )  # fmt: skip
    with truth("health"):
        while True:
            container.reload()
            if container.attrs["State"]["Health"]["Status"] == "healthy":
                break
            time.sleep(0.05)
    yield container
    container.remove(force=True)
