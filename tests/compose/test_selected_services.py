"""Only some services of a project are loaded, with everything that they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError
from dockwright.model import StackSpec

PROJECT = """\
services:
  web:
    image: w
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started}}
    networks: [front]
  db: {image: d, volumes: ["data:/d"], healthcheck: {test: "true"}}
  cache: {image: c}
  sidecar: {image: s, network_mode: "service:web"}
  tail: {image: t, pid: "container:shop-db-1", volumes_from: ["cache:ro"]}
  linked: {image: l, links: ["cache:c"]}
  optional: {image: o, depends_on: {admin: {condition: service_started, required: false}}}
  admin: {image: a, profiles: [ops], depends_on: [console]}
  console: {image: a, profiles: [ops]}
  other: {image: x, profiles: [more]}
volumes: {data: {}}
networks: {front: {}}
x-dockwright:
  processes:
    worker: {command: [w], depends_on: [db]}
    beat: {command: [b], depends_on: {worker: {condition: service_started}}}
"""


def selected(directory: Path, *services: str, text: str = PROJECT) -> StackSpec:
    file = directory / "compose.yaml"
    file.write_text(text)
    return load(LoadOptions(files=(file,), project_name="shop", services=services, environ={}))


@pytest.mark.parametrize(
    ("wanted", "services", "processes"),
    [
        ("db", "db", ""),
        ("web", "web db cache", ""),
        ("web cache", "web db cache", ""),
        ("sidecar", "web db cache sidecar", ""),
        ("tail", "db cache tail", ""),
        ("linked", "cache linked", ""),
        ("optional", "optional", ""),
        ("optional admin", "optional admin console", ""),
        ("worker", "db", "worker"),
        ("beat cache", "db cache", "worker beat"),
    ],
)
def test_dependencies_of_selected_services_are_included(
    tmp_path: Path, wanted: str, services: str, processes: str
) -> None:
    spec = selected(tmp_path, *wanted.split())
    assert [*spec.services] == services.split()
    assert [*spec.processes] == processes.split()


def test_networks_and_volumes_of_other_services_are_left_out(tmp_path: Path) -> None:
    assert [*selected(tmp_path, "db").section("volumes")] == ["data"]
    assert [*selected(tmp_path, "cache").section("volumes")] == []
    assert [*selected(tmp_path, "web").section("networks")] == ["default", "front"]


def test_a_selection_has_a_content_of_its_own(tmp_path: Path) -> None:
    wanted = [(), ("db",), ("worker",), ("web",), ("web", "db")]
    hashes = [selected(tmp_path, *each).content_hash for each in wanted]
    assert len(set(hashes)) == 4
    assert hashes[3] == hashes[4]


def test_an_unknown_service_is_an_error_that_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as caught:
        selected(tmp_path, "db", "webb")
    assert str(caught.value) == (
        f"{tmp_path}/compose.yaml: no service 'webb' is declared\n"
        "  hint: the services are: web, db, cache, sidecar, tail, linked, optional, worker, beat"
    )


def test_a_mistake_in_a_service_that_is_left_out_is_still_an_error(tmp_path: Path) -> None:
    text = "services: {db: {image: d}, web: {image: w, mem_limit: much}}"
    with pytest.raises(ComposeError, match="mem_limit"):
        selected(tmp_path, "db", text=text)


def test_wrong_processes_are_an_error_as_without_a_selection(tmp_path: Path) -> None:
    text = "services: {db: {image: d}}\nx-dockwright: {processes: 7}"
    with pytest.raises(ComposeError, match="processes"):
        selected(tmp_path, "db", text=text)
