"""``dockwright stack status``: aligned text, JSON for scripts, and changes as they happen."""

from __future__ import annotations

import json
import signal

import pytest

from tests._support.project import LIMIT_S, Project, free_port, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"


def test_before_the_first_start_everything_is_missing(project: Project) -> None:
    project.write(plain_service("web", FOREVER))
    lines = project.done("stack", "status").out.splitlines()
    assert lines[0].split()[:3] == ["SERVICE", "STATE", "HEALTH"]
    assert lines[1].split() == ["web", "missing"]


def test_status_shows_state_health_ports_and_exit_code(project: Project) -> None:
    port = free_port()
    lines = [f"ports: ['127.0.0.1:{port}:80']", "healthcheck: {test: [CMD, 'true'], interval: 1h}"]
    project.write(f"{plain_service('web', FOREVER, lines)}\n{plain_service('job', 'exit 0')}")
    project.done("stack", "start")
    project.engine.kill_container(project.container("job"))
    found = json.loads(project.done("stack", "status", "--json").out)
    assert found["project"] == project.name
    services = {each.pop("name"): each for each in found["services"]}
    web = services["web"]
    assert 0 < web.pop("uptime_s") < 60
    assert web.pop("cpu_percent") >= 0
    assert 0 < web.pop("memory_bytes") < 50e6
    assert web == {
        "kind": "service",
        "state": "running",
        "health": "healthy",  # though the engine itself looks for the first time in an hour
        "health_source": "check",
        "health_detail": None,
        "exit_code": None,
        "ports": {"80/tcp": f"127.0.0.1:{port}"},
        "container": f"{project.name}-web-1",
    }
    assert services["job"]["state"] == "exited"
    assert services["job"]["exit_code"] == 0
    text = project.done("stack", "status").out
    assert f"127.0.0.1:{port}->80/tcp" in text
    assert "exited (0)" in text
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_watch_prints_each_change_until_ctrl_c(project: Project) -> None:
    project.write(plain_service("web", FOREVER))
    project.done("stack", "start")
    with project.popen("stack", "status", "--watch") as process:
        assert process.stdout
        assert process.stderr
        assert "running" in process.stdout.readline() + process.stdout.readline()
        project.engine.kill_container(project.container("web"))
        assert "SERVICE" in process.stdout.readline()
        assert "exited (137)" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        assert process.stderr.read() == ""
