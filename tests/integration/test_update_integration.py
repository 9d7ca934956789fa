"""``dockwright stack update``: only what changed; what fails is put back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from dockwright.engine import Engine
from tests._support.managed.shop import build_version
from tests._support.project import Project, plain_service
from tests.integration.helpers import (
    FOREVER,
    UNITS,
    change_data,
    cut_short,
    data,
    install_and_start,
    put,
    units,
    write_app,
)

pytestmark = pytest.mark.engine

HEALTHY = "healthcheck: {test: [CMD, grep, -q, good, /version], interval: 30s}"


@pytest.fixture(scope="module")
def versions(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Image ids by version; ``bad`` never gets healthy; no other worker's images are these."""
    context = tmp_path_factory.mktemp("integration-versions")
    mine = uuid4().hex[:8]
    names = {name: f"dwtest-integration:{mine}-{name}" for name in ("good1", "good2", "bad")}
    yield {name: build_version(engine, scratch, tag, name, context) for name, tag in names.items()}
    for tag in names.values():
        engine.remove_image(tag, force=True)


@pytest.fixture
def tag(project: Project, versions: dict[str, str]) -> Iterator[str]:
    """A name of an image that stands for the first version; with ``:bad`` it is a bad one."""
    tag, bad = f"{project.name}-image:1", f"{project.name}-image:bad"
    project.engine.tag_image(versions["good1"], tag)
    project.engine.tag_image(versions["bad"], bad)
    yield tag
    project.remove()
    for name in (tag, bad):
        project.engine.remove_image(name, force=True)


@pytest.fixture
def served(project: Project, tag: str) -> Project:
    """A tiny started project of that image."""
    web = plain_service("web", FOREVER, [HEALTHY, "pull_policy: never", "volumes: ['data:/data']"])
    side = plain_service("side", FOREVER, ["pull_policy: never"])
    project.write(f"{web.replace('IMAGE', tag)}\n{side}", "volumes: {data: {}}")
    project.done("stack", "start")
    put(project, "echo kept >/data/file")
    return project


def release(project: Project, image: str) -> None:
    project.engine.tag_image(image, f"{project.name}-image:1")


def version(project: Project) -> str:
    return put(project, "cat /version")


@pytest.mark.stateful
def test_a_new_image_replaces_its_service_and_keeps_data(
    served: Project, versions: dict[str, str]
) -> None:
    side = served.container("side")
    release(served, versions["good2"])
    served.done("stack", "update")
    assert (version(served), put(served, "cat /data/file")) == ("good2", "kept\n")
    assert served.container("side") == side


@pytest.mark.stateful
def test_update_without_changes_does_nothing(served: Project) -> None:
    before = served.container("web"), served.container("side")
    served.done("stack", "update")
    assert (served.container("web"), served.container("side")) == before


@pytest.mark.stateful
def test_a_dry_run_prints_the_plan_and_changes_nothing(
    served: Project, versions: dict[str, str]
) -> None:
    before = served.container("web")
    release(served, versions["good2"])
    output = served.done("stack", "update", "--dry-run")
    assert versions["good2"].removeprefix("sha256:")[:12] in output.out + output.err
    assert (served.container("web"), version(served)) == (before, "good1")


@pytest.mark.stateful
def test_an_unhealthy_version_is_rolled_back_and_the_next_one_works(
    project: Project, tag: str, versions: dict[str, str]
) -> None:
    write_app(project, image=tag)
    install_and_start(project)
    change_data(project, "before")
    before, web = data(project), project.container("web")
    others = project.container("db"), project.container("cache")
    release(project, versions["bad"])
    failed = project.run("stack", "update", "--no-pull", "--timeout", "2")
    assert failed.code == 1
    assert "failed: the old version is running again" in failed.err
    assert (version(project), data(project), units(project)) == ("good1", before, UNITS)
    assert project.container("web") == web
    release(project, versions["good2"])
    project.done("stack", "update", "--no-pull")
    assert (version(project), data(project), units(project)) == ("good2", before, UNITS)
    assert (
        project.container("db"),
        project.container("cache"),
    ) == others  # what did not change stays


@pytest.mark.stateful
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_update_leaves_the_old_version(
    served: Project, tag: str, number: int
) -> None:
    before = served.container("web")
    file = served.directory / "compose.yaml"
    text = file.read_text()
    file.write_text(text.replace(tag, tag.replace(":1", ":bad")))
    with cut_short(served, "waiting until it is ready", "stack", "update") as process:
        process.send_signal(number)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    file.write_text(text)
    served.done("stack", "start")  # puts right what a kill left
    assert (served.container("web"), served.running()) == (before, {"web", "side"})
    assert (version(served), put(served, "cat /data/file")) == ("good1", "kept\n")


@pytest.mark.stateful
def test_changed_configuration_replaces_only_its_service(served: Project) -> None:
    side = served.container("side")
    file = served.directory / "compose.yaml"
    file.write_text(file.read_text().replace("web:\n", "web:\n    environment: {NEW: '1'}\n", 1))
    served.done("stack", "update")
    environment = served.engine.inspect_container(served.container("web"))["Config"]["Env"]
    assert "NEW=1" in environment
    assert served.container("side") == side


@pytest.mark.stateless
def test_an_unknown_option_is_a_usage_error(app: Project) -> None:
    assert app.run("stack", "update", "--sideways").code == 2


@pytest.mark.stateful
def test_an_unavailable_image_changes_nothing(served: Project, tag: str) -> None:
    before = served.container("web")
    file = served.directory / "compose.yaml"
    text = file.read_text()
    file.write_text(
        text.replace(tag, "dockwright.invalid/nowhere:1").replace("pull_policy: never", "", 1)
    )
    refused = served.run("stack", "update")
    assert refused.code == 1
    assert "dockwright.invalid/nowhere:1" in refused.err
    assert served.container("web") == before


@pytest.mark.stateless
def test_an_undeclared_service_is_an_error(app: Project) -> None:
    refused = app.run("stack", "update", "nobody")
    assert refused.code == 2
    assert "nobody" in refused.err
    assert units(app) == UNITS
