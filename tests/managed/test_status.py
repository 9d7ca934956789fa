"""What ``dockwright stack status`` says of a stack that runs: who serves, and what it costs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests._support.project import Project, free_port, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"
PAGES = "mkdir -p /tmp/www && echo hi > /tmp/www/index.html && exec httpd -f -p {} -h /tmp/www"


def services(project: Project) -> dict[str, Any]:
    found = json.loads(project.done("stack", "status", "--json").out)
    return {each["name"]: each for each in found["services"]}


def published(port: int, own: int) -> str:
    return f"ports: ['127.0.0.1:{port}:{own}']"


def test_health_is_asked_over_http_then_tcp_then_the_check(project: Project) -> None:
    page, plain, silent = free_port(), free_port(), free_port()
    asks = "healthcheck: {test: 'wget -q -O- http://127.0.0.1:7001/index.html'}"
    project.write(
        "\n".join(
            [
                plain_service("page", PAGES.format(8000), [published(page, 8000)]),
                plain_service("tcp", "exec nc -ll -p 7000 -e cat", [published(plain, 7000)]),
                plain_service(
                    "silent",
                    FOREVER,
                    [published(silent, 7000), "x-dockwright: {ready: running}"],
                ),
                plain_service("checked", FOREVER, ["healthcheck: {test: 'true'}"]),
                plain_service("nothing", FOREVER),
                plain_service("asked", PAGES.format(7001), [asks]),
            ]
        )
    )
    project.done("stack", "start")
    found = services(project)
    assert {name: (each["health"], each["health_source"]) for name, each in found.items()} == {
        "page": ("healthy", "http"),
        "tcp": ("healthy", "tcp"),
        "silent": ("unhealthy", "tcp"),
        "checked": ("healthy", "check"),
        "nothing": (None, None),
        "asked": ("healthy", "http"),
    }
    assert found["page"]["health_detail"] == f"GET http://127.0.0.1:{page}/ 200"
    assert found["silent"]["health_detail"] == f"nothing listens on 127.0.0.1:{silent}"
    assert found["asked"]["health_detail"].endswith(":7001/index.html 200")
    project.engine.exec(project.container("asked"), ["rm", "/tmp/www/index.html"])
    asked = services(project)["asked"]
    assert (asked["health"], asked["health_source"]) == ("unhealthy", "http")
    assert asked["health_detail"].endswith(":7001/index.html 404")
    table = project.done("stack", "status").out
    assert "healthy (http)" in table
    assert "unhealthy (tcp)" in table


def test_status_shows_each_service_and_its_usage_quickly(project: Project) -> None:
    busy = plain_service("busy", "while true; do true; done")
    project.write(f"{busy}\n{plain_service('idle', FOREVER)}")
    project.done("stack", "start")
    began = time.monotonic()
    found = services(project)
    assert time.monotonic() - began < 10  # usually 0.4 s; the machine may be busy
    assert found["busy"]["cpu_percent"] > 5
    assert found["idle"]["cpu_percent"] < found["busy"]["cpu_percent"]
    assert 0 < found["idle"]["memory_bytes"] < 50e6
    project.engine.pause_container(project.container("idle"))
    paused = services(project)["idle"]
    assert (paused["state"], paused["cpu_percent"]) == ("paused", None)
    project.engine.unpause_container(project.container("idle"))
    project.done("stack", "stop", "idle")
    assert services(project)["idle"]["memory_bytes"] is None


def test_status_includes_native_processes(project: Project) -> None:
    port = free_port()
    command = f"python3 -m http.server {port} --bind 127.0.0.1"
    ready = f"{{http: 'http://127.0.0.1:{port}/'}}"
    project.write(
        plain_service("web", FOREVER),
        f"x-dockwright: {{processes: {{native: {{command: {command}, ready: {ready}}}}}}}",
    )
    project.done("stack", "start", apart=True)  # the process outlives its starter
    found = services(project)["native"]
    assert found["kind"] == "process"
    assert (found["health"], found["health_source"]) == ("healthy", "http")
    assert found["memory_bytes"] > 1e6
    assert found["uptime_s"] > 0
