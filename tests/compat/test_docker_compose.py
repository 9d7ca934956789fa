"""testcontainers' DockerCompose leases a stack, and needs no Docker Compose."""

from __future__ import annotations

import pytest

from tests._support.suite import COMPOSE, Suite

pytestmark = pytest.mark.engine

TESTS = """
import subprocess
import urllib.request

import pytest
from testcontainers.compose import DockerCompose


@pytest.fixture(scope="module")
def compose():
    with DockerCompose("shop", compose_file_name="compose.yaml", pull=True) as compose:
        yield compose


def get(compose, path="index.html"):
    host, port = compose.get_service_host("web", 8000), compose.get_service_port("web", 8000)
    return urllib.request.urlopen(f"http://{host}:{port}/{path}").read().decode()


def test_the_stack_answers(compose):
    assert get(compose) == "hello\\n"
    assert "web is up" in compose.get_logs("web")[0]
    [container] = compose.get_containers()
    assert (container.Service, container.State) == ("web", "running")


def test_commands_run_in_its_containers(compose):
    output, errors, code = compose.exec_in_container(["echo", "x"], "web")
    assert (output, errors, code) == ("x\\n", "", 0)
    compose.exec_in_container(["sh", "-c", "echo changed > /data/www/new.txt"], "web")
    assert get(compose, "new.txt") == "changed\\n"
    with pytest.raises(subprocess.CalledProcessError):
        compose.exec_in_container(["false"], "web")


def test_the_next_lease_finds_the_stack_as_after_its_start():
    with DockerCompose("shop", compose_file_name="compose.yaml") as compose:
        with pytest.raises(subprocess.CalledProcessError):
            compose.exec_in_container(["cat", "/data/www/new.txt"], "web")
"""


def test_a_suite_with_docker_compose(moved: Suite) -> None:
    moved.compose("shop/compose.yaml", COMPOSE)
    moved.write("test_it.py", TESTS)
    moved.passes(passed=3)
