"""``dockwright stack update``: only what changed; what fails is put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dockwright.engine import Engine
from tests.cli.project import Project, plain_service
from tests.integration.helpers import FOREVER, put
from tests.lifecycle.builds import build_version

pytestmark = pytest.mark.engine

HEALTHY = "healthcheck: {test: [CMD, grep, -q, good, /version], interval: 1s}"


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
def served(project: Project, versions: dict[str, str]) -> Iterator[Project]:
    """A started project whose image name stands for the first version."""
    tag = f"{project.name}-image:1"
    project.engine.tag_image(versions["good1"], tag)
    web = plain_service("web", FOREVER, [HEALTHY, "pull_policy: never", "volumes: ['data:/data']"])
    side = plain_service("side", FOREVER, ["pull_policy: never"])
    project.write(f"{web.replace('IMAGE', tag)}\n{side}", "volumes: {data: {}}")
    project.done("stack", "start")
    put(project, "echo kept >/data/file")
    yield project
    project.remove()
    project.engine.remove_image(tag, force=True)


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
def test_without_news_nothing_happens(served: Project) -> None:
    before = served.container("web"), served.container("side")
    served.done("stack", "update")
    assert (served.container("web"), served.container("side")) == before


@pytest.mark.stateful
def test_a_dry_run_tells_and_changes_nothing(served: Project, versions: dict[str, str]) -> None:
    before = served.container("web")
    release(served, versions["good2"])
    told = served.done("stack", "update", "--dry-run")
    assert versions["good2"].removeprefix("sha256:")[:12] in told.out + told.err
    assert (served.container("web"), version(served)) == (before, "good1")


@pytest.mark.stateful
def test_a_version_that_does_not_get_healthy_is_put_back(
    served: Project, versions: dict[str, str]
) -> None:
    release(served, versions["bad"])
    failed = served.run("stack", "update", "--timeout", "5")
    assert failed.code == 1
    assert (version(served), put(served, "cat /data/file")) == ("good1", "kept\n")
    assert served.running() == {"web", "side"}


@pytest.mark.stateful
def test_after_a_failed_update_the_next_one_works(
    served: Project, versions: dict[str, str]
) -> None:
    release(served, versions["bad"])
    assert served.run("stack", "update", "--timeout", "5").code == 1
    release(served, versions["good2"])
    served.done("stack", "update")
    assert version(served) == "good2"


@pytest.mark.stateful
def test_changed_configuration_replaces_its_service_alone(served: Project) -> None:
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
def test_an_image_that_cannot_be_had_changes_nothing(served: Project, tmp_path: Path) -> None:
    before = served.container("web")
    file = served.directory / "compose.yaml"
    text = file.read_text()
    file.write_text(text.replace(f"{served.name}-image:1", "dockwright.invalid/nowhere:1"))
    assert served.run("stack", "update").code == 1
    assert served.container("web") == before
