"""``dockwright stack uninstall``: only what is ours, data only when asked for, twice is fine."""

from __future__ import annotations

import pytest

from tests._support.owned import Owned
from tests._support.project import Project, plain_service

pytestmark = pytest.mark.engine

WEB = plain_service("web", "exec tail -f /dev/null", ["volumes: ['data:/data']"])


def test_volumes_are_removed_only_on_request(project: Project) -> None:
    project.write(WEB, "volumes: {data: {}}")
    project.done("stack", "start")
    result = project.done("stack", "uninstall", "--force")
    rows = [line.split() for line in result.out.splitlines()]
    assert rows == [
        ["REMOVE", "NAME"],
        ["container", f"{project.name}-web-1"],
        ["network", f"{project.name}_default"],
    ]
    assert result.err == (
        f"removed 2 items of {project.name}\n"
        f"kept 1 volume ({project.name}_data); to remove the data, use --volumes\n"
    )
    assert project.left() == [f"volume {project.name}_data"]

    again = project.done("stack", "uninstall", "--force")
    assert again.err.startswith(
        f"nothing to remove: stack {project.name} does not exist\nkept 1 volume "
    )
    assert "removed 1 item" in project.done("stack", "uninstall", "--volumes", "--force").err
    assert project.left() == []
    last = project.done("stack", "uninstall", "--volumes", "--force")
    assert last.err == f"nothing to remove: stack {project.name} does not exist\n"


def test_services_that_the_file_no_longer_has_are_removed(project: Project) -> None:
    project.write(f"{WEB}\n{plain_service('old', 'exec tail -f /dev/null')}", "volumes: {data: {}}")
    project.done("stack", "start")
    project.write(WEB, "volumes: {data: {}}")
    project.done("stack", "uninstall", "--volumes", "--force")
    assert project.left() == []


def test_external_and_foreign_objects_are_kept(project: Project, owned: Owned) -> None:
    network = f"{owned.name}-net"
    project.engine.create_network(network, {"Labels": owned.labels})
    project.engine.create_volume(f"{owned.name}-vol", {"Labels": owned.labels})
    foreign = owned.run(project.image, "tail", "-f", "/dev/null")
    project.write(
        plain_service(
            "web", "exec tail -f /dev/null", ["networks: [out]", "volumes: ['out:/out']"]
        ),
        f"networks: {{out: {{external: true, name: {network}}}}}\n"
        f"volumes: {{out: {{external: true, name: {owned.name}-vol}}}}",
    )
    project.done("stack", "start")
    project.done("stack", "uninstall", "--volumes", "--force")
    assert project.left() == []
    assert len(owned.left()) == 3
    assert project.engine.inspect_container(foreign)["State"]["Running"]
