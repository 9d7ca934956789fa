"""Compose projects that others start: removed afterwards, awaited, stopped and started."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.engine import BuildRequest, Engine
from dockwright.errors import StackError, UnknownServiceError
from dockwright.model import Json
from dockwright.resources import ArtifactTracker, ComposeProject, StackServiceManager
from dockwright.stack import COMPOSE_PROJECT
from tests._support.owned import Owned, leftovers
from tests.resources.conftest import workspaces

pytestmark = pytest.mark.engine

LOOP = "trap 'exit 0' TERM; sleep 0.3; touch /ready; while :; do sleep 0.05; done"
COMPOSE = f"""
services:
  db:
    image: IMAGE
    command: ["sh", "-c", "{LOOP}"]
    healthcheck: {{test: ["CMD", "test", "-e", "/ready"], interval: 10s}}
  job: {{image: IMAGE, command: ["true"]}}
  web:
    image: IMAGE
    command: ["sh", "-c", "{LOOP}"]
    depends_on:
      db: {{condition: service_healthy}}
      job: {{condition: service_completed_successfully}}
  never: {{image: IMAGE, profiles: [extra]}}
"""


def project_labels(name: str) -> dict[str, str | None]:
    return {COMPOSE_PROJECT: name}


@pytest.fixture
def project(owned: Owned, scratch: str, tmp_path: Path) -> ComposeProject:
    """A project as Compose starts it: with its labels, and without ours."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.replace("IMAGE", scratch))
    for service, command in (("db", LOOP), ("job", "true"), ("web", LOOP)):
        labels = {
            **owned.labels,
            COMPOSE_PROJECT: owned.name,
            f"{COMPOSE_PROJECT}.config_files": str(file),
            f"{COMPOSE_PROJECT}.working_dir": str(tmp_path),
            "com.docker.compose.service": service,
        }
        owned.run(scratch, "sh", "-c", command, Labels=labels)
    return ComposeProject(owned.name, engine=lambda: owned.engine)


def test_its_services_are_awaited(project: ComposeProject) -> None:
    assert sorted(project.services) == ["db", "job", "web"]
    project.wait_until_ready()
    assert project.unwrap().exec("db", ["test", "-e", "/ready"]).exit_code == 0
    project.wait_until_ready("job", "db")


def test_a_service_that_is_not_ready_in_time_is_named(project: ComposeProject) -> None:
    project.unwrap().kill(["db"])
    with pytest.raises(StackError, match=r"db.*exited with code 137"):
        project.wait_until_ready(timeout_s=5)
    with pytest.raises(UnknownServiceError, match="no service 'never'"):
        project.wait_until_ready("never")


def test_a_manager_stops_and_starts_its_services(project: ComposeProject) -> None:
    project.wait_until_ready()
    with StackServiceManager(project, ["db", "web"]) as services:
        services.stop("web")
        assert services.running == {"db"}
    assert services.running == {"db", "web"}
    with services.stopped():
        assert services.running == set()
    assert services.running == {"db", "web"}


def test_a_project_without_containers_is_an_error(engine: Engine, unique_name: str) -> None:
    with pytest.raises(StackError) as caught:
        ComposeProject(unique_name, engine=lambda: engine).wait_until_ready()
    assert str(caught.value) == (
        f"no container of the Compose project '{unique_name}' exists\n"
        "  hint: start it first; `docker compose ls --all` lists the projects"
    )


def test_files_that_are_gone_can_be_named(
    project: ComposeProject, tmp_path: Path, engine: Engine
) -> None:
    moved = (tmp_path / "compose.yaml").rename(tmp_path / "other.yaml")
    with pytest.raises(StackError, match=r"yaml does not exist\n.*files=\['compose.yaml'\]"):
        _ = project.services
    again = ComposeProject(project.name, files=[moved], engine=lambda: engine)
    assert sorted(again.services) == ["db", "job", "web"]


def test_resources_created_after_a_project_is_tracked_are_removed(
    owned: Owned, scratch: str, state: Path
) -> None:
    engine = owned.engine
    labels = {**owned.labels, COMPOSE_PROJECT: owned.name}
    there = owned.run(scratch, "sleep", "600", Labels=labels)
    with ArtifactTracker(engine=lambda: engine) as tracker:
        assert tracker.track_project(owned.name) == owned.name
        tracker.track_project(owned.name)
        engine.create_network(f"{owned.name}-net", {"Labels": labels})
        engine.create_volume(f"{owned.name}-data", {"Labels": labels})
        host: dict[str, Json] = {
            "Binds": [f"{owned.name}-data:/data"],
            "NetworkMode": f"{owned.name}-net",
        }
        named = tracker.track_container(f"{owned.name}-named")
        body: dict[str, Json] = {"Image": scratch, "Cmd": ["sleep", "600"]}
        body |= {"Labels": labels, "HostConfig": host}
        engine.start_container(engine.create_container(named, body))
        owned.run(scratch, "sleep", "600", Labels=labels, HostConfig=host)
        other = owned.run(scratch, "sleep", "600")
        assert len(leftovers(engine, project_labels(owned.name))) == 5
    left = [each["Id"] for each in engine.list_containers(owned.labels)]
    assert sorted(left) == sorted([there, other])
    assert len(leftovers(engine, project_labels(owned.name))) == 1
    assert workspaces(state) == []


def test_labelled_resources_are_removed_with_their_images(
    owned: Owned, scratch: str, tmp_path: Path
) -> None:
    engine, label = owned.engine, f"example.tool={owned.name}"
    dockerfile = f"FROM {scratch}\nLABEL {label}\n"
    with ArtifactTracker(engine=lambda: engine) as tracker:
        tracker.track_labelled(label)
        owned.create(scratch, "true", Labels={**owned.labels, "example.tool": owned.name})
        request = BuildRequest(tmp_path, (owned.name,), dockerfile_inline=dockerfile)
        engine.build_image(request)
        assert engine.has_image(owned.name)
    assert not engine.has_image(owned.name)
    assert owned.left() == []


@pytest.mark.parametrize("call", ["track_project", "track_labelled"])
def test_empty_names_are_refused(call: str, engine: Engine) -> None:
    with (
        ArtifactTracker(engine=lambda: engine) as tracker,
        pytest.raises(ValueError, match="must"),
    ):
        getattr(tracker, call)("")
