"""``dockwright stack check``: each finding has a status and a remedy; 1 where one failed."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests._support.project import Project, free_port, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"


def findings(project: Project, code: int) -> dict[str, Any]:
    """Return the findings by name, after checking what they have in common."""
    result = project.run("stack", "check", "--json")
    assert result.code == code
    found = json.loads(result.out)
    assert found["ok"] is (code == 0)
    assert all(each["remedy"] for each in found["findings"] if each["status"] != "ok")
    return {each["name"]: each for each in found["findings"]}


def test_a_stack_that_can_run(project: Project) -> None:
    port = free_port()
    web = plain_service("web", FOREVER, [f"ports: ['127.0.0.1:{port}:80']", "secrets: [password]"])
    project.write(web, "secrets: {password: {environment: DB_PASSWORD}}")
    project.done("stack", "install", "--no-check", "--no-pull")
    found = findings(project, 0)
    assert found["configuration"]["detail"].startswith(f"{project.name} from ")
    assert found["secrets"]["detail"] == "set: DB_PASSWORD"
    assert found["installed"]["detail"].endswith(project.name)
    assert found[f"port {port}/tcp"]["detail"] == "for web: free"
    assert found["image of web"]["detail"] == f"{project.image} exists locally"
    assert {"engine", "permission", "disk", "networks", "state directory"} <= found.keys()
    project.done("stack", "start")
    assert findings(project, 0)[f"port {port}/tcp"]["detail"] == "for web: in use by this stack"
    table = project.done("stack", "check")
    assert table.out.splitlines()[0].split() == ["CHECK", "STATUS", "FOUND"]


def test_all_problems_are_reported_at_once(project: Project, tmp_path: Path) -> None:
    port = free_port()
    services = "\n".join(
        [
            plain_service("web", FOREVER, [f"ports: ['127.0.0.1:{port}:80']"]),
            "gone: {image: 'localhost:1/gone:7'}",
            "never: {image: 'localhost:1/never:7', pull_policy: never}",
            "built: {build: {context: ./nowhere}}",
        ]
    )
    project.write(services, "x-dockwright: {secrets: [TOKEN]}")
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", port))
        taker.listen()
        found = findings(project, 1)
    failed = {name: each for name, each in found.items() if each["status"] == "fail"}
    assert failed.keys() >= {
        "secrets",
        f"port {port}/tcp",
        "image of gone",
        "image of never",
        "image of built",
    }
    assert failed["secrets"]["detail"] == "not set: TOKEN"
    assert failed["secrets"]["remedy"] == "generate them with `dockwright stack install`"
    assert "in use by a process on this host" in failed[f"port {port}/tcp"]["detail"]
    assert "cannot be pulled" in failed["image of gone"]["detail"]
    assert "pull_policy is never" in failed["image of never"]["remedy"]
    assert "is not a directory" in failed["image of built"]["detail"]
    table = project.run("stack", "check")
    assert table.code == 1
    assert "fail: secrets: generate them with `dockwright stack install`" in table.err


def test_a_port_of_another_container_is_named(project: Project) -> None:
    port = free_port()
    body = plain_service("web", FOREVER, [f"ports: ['127.0.0.1:{port}:80']"])
    project.write(body)
    project.done("stack", "start")
    other = replace(project, name=f"{project.name}-2")
    result = json.loads(other.run("stack", "check", "-p", other.name, "--json").out)
    (found,) = (each for each in result["findings"] if each["name"] == f"port {port}/tcp")
    assert found["status"] == "fail"
    assert found["detail"] == f"for web: in use by container {project.name}-web-1"


def test_a_broken_compose_file_does_not_hide_other_problems(project: Project) -> None:
    (project.directory / "compose.yaml").write_text("services: {web: {imag: x}}\n")
    found = findings(project, 1)
    assert found["configuration"]["status"] == "fail"
    assert "compose.yaml:1" in found["configuration"]["detail"]
    assert found["engine"]["status"] == "ok"


def test_without_an_engine_everything_else_is_checked(project: Project) -> None:
    project.write(plain_service("web", FOREVER))
    environ = {**project.environ, "DOCKER_HOST": "unix:///nonexistent"}
    found = findings(replace(project, environ=environ), 1)
    assert found["engine"]["status"] == "fail"
    assert "start Docker or Podman" in found["engine"]["remedy"]
    assert found["configuration"]["status"] == "ok"


def test_files_that_others_can_read_are_a_warning(project: Project) -> None:
    project.write(plain_service("web", FOREVER))
    project.done("stack", "install", "--no-check", "--no-pull")
    home = Path(project.environ["XDG_CONFIG_HOME"], "dockwright", project.name)
    home.chmod(0o755)
    found = findings(project, 0)["installed"]
    assert found["status"] == "warn"
    assert found["detail"] == f"other users have permissions for {home}"
