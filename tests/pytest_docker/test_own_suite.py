"""pytest-docker's own test suite, unchanged, on dockwright's stacks; pip downloads it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dockwright.engine import PREFIX, Engine
from dockwright.paths import project_hash
from tests._support.owned import leftovers
from tests._support.suite import clean_environment

VERSION = "3.2.6"
DIFFERENT = ["test_fixtures.py::test_docker_compose_project"]
"""What cannot pass: a copy has a project name of its own, as the guide says."""

# The archive has the tests, but not the stack that they start.
COMPOSE = """
services:
  hello:
    build: containers/hello
    ports: ["80"]
    volumes: ["data:/data"]
volumes: {data: {}}
"""
DOCKERFILE = """
FROM python:3.11-slim
STOPSIGNAL SIGKILL
COPY server.py /
CMD ["python", "/server.py"]
"""
SERVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class NoContent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

ThreadingHTTPServer(("", 80), NoContent).serve_forever()
"""


@pytest.fixture
def own_suite(tmp_path: Path) -> Path:
    """The unpacked archive, with the stack that it lacks."""
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(tmp_path)]
    pip = [sys.executable, "-m", "pip", "download", *options, f"pytest-docker=={VERSION}"]
    subprocess.run(pip, check=True, capture_output=True, timeout=100)
    with tarfile.open(tmp_path / f"pytest_docker-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    suite = tmp_path / f"pytest_docker-{VERSION}"
    hello = suite / "tests" / "containers" / "hello"
    hello.mkdir(parents=True)
    (hello / "Dockerfile").write_text(DOCKERFILE)
    (hello / "server.py").write_text(SERVER)
    (suite / "tests" / "docker-compose.yml").write_text(COMPOSE)
    (suite / "tests" / "conftest.py").write_text("pytest_plugins = ['pytester']\n")
    (suite / "pytest.ini").write_text("[pytest]\n")
    return suite


@pytest.mark.engine
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_it_passes_except_for_what_the_guide_names(
    own_suite: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_environment(monkeypatch, tmp_path / "state")
    monkeypatch.setenv("DOCKWRIGHT_COMPAT", "pytest-docker")
    monkeypatch.setenv("DOCKWRIGHT_CACHE_BASELINES", "false")  # removes the image at the end
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-rf", "tests"],
        cwd=own_suite,
        env={**os.environ, "PYTHONPATH": str(own_suite / "src")},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert [line.split()[1].removeprefix("tests/") for line in failed] == DIFFERENT, done.stdout
    assert "1 failed, 25 passed" in done.stdout
    assert leftovers(engine, {f"{PREFIX}project": project_hash(own_suite)}) == []
    assert not engine.has_image("tests-hello")
