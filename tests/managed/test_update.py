"""``dockwright stack update``: only what changed is replaced; what fails is put back, whole."""

from __future__ import annotations

import json
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import EngineError
from tests._support.managed.shop import build_version
from tests._support.project import LIMIT_S, Project, free_port, plain_service
from tests._support.registry import Registry

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"
GOOD = "healthcheck: {test: [CMD, grep, -q, good, /version]}"
VOLUMES = "volumes: {data: {}}"


@pytest.fixture(scope="module")
def versions(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The ids of images by the version that they hold; only the first two get healthy."""
    context = tmp_path_factory.mktemp("versions")
    mine = uuid.uuid4().hex  # the same content would be the same image as another worker's
    names = {name: f"dwtest-versions:{mine}-{name}" for name in ("good1", "good2", "bad")}
    built = {
        name: build_version(engine, scratch, tag, f"{name} {mine}", context)
        for name, tag in names.items()
    }
    yield built
    for image in built.values():  # by id: with the names that registries know them by
        engine.remove_image(image, force=True)


@pytest.fixture
def tag(project: Project, versions: dict[str, str]) -> Iterator[str]:
    """The name of the web service's image, which stands for the first version."""
    name = f"{project.name}-image:1"
    project.engine.tag_image(versions["good1"], name)
    yield name
    project.remove()
    for image in (name, f"{project.name}-web:latest"):
        project.engine.remove_image(image, force=True)


def write(project: Project, tag: str, script: str = FOREVER) -> None:
    web = plain_service("web", script, [GOOD]).replace("IMAGE", tag)
    db = plain_service("db", f"date >> /data/starts; {FOREVER}", ["volumes: ['data:/data']"])
    project.write(f"{web}\n  pull_policy: never\n{db}\n  pull_policy: never", VOLUMES)


def write_built(project: Project, version: str) -> None:
    (project.directory / "version").write_text(f"{version} of {project.name}")
    dockerfile = f"FROM {project.image}\\nCOPY version /version\\n"
    build = f'build: {{context: ., dockerfile_inline: "{dockerfile}"}}'
    web = plain_service("web", FOREVER, [GOOD]).replace("image: IMAGE", build)
    project.write(web)


def state(project: Project) -> tuple[str, str, set[str]]:
    return project.container("web"), project.container("db"), project.running()


def test_only_what_changed_is_replaced_and_data_stays(
    project: Project, tag: str, versions: dict[str, str]
) -> None:
    write(project, tag)
    project.done("stack", "start")
    web, db, running = state(project)
    assert project.done("stack", "update").err.endswith(f"{project.name} is up to date\n")
    assert state(project) == (web, db, running)

    project.engine.tag_image(versions["good2"], tag)
    shown = json.loads(project.done("stack", "update", "--dry-run", "--json").out)
    changes = {each.pop("service"): each for each in shown["changes"]}
    image = project.engine.inspect_container(db)["Image"]
    assert changes == {
        "web": {"what": ["image"], "from": versions["good1"], "to": versions["good2"]},
        "db": {"what": [], "from": image, "to": image},
    }
    assert state(project) == (web, db, running)

    result = project.done("stack", "update")
    assert result.out.splitlines()[1].split() == [
        "web",
        "image",
        versions["good1"].removeprefix("sha256:")[:12],
        versions["good2"].removeprefix("sha256:")[:12],
    ]
    assert f"updated 1 service of {project.name} in " in result.err
    assert project.container("db") == db
    assert project.container("web") != web
    assert project.running() == {"web", "db"}


def test_a_changed_configuration_is_an_update(project: Project, tag: str) -> None:
    write(project, tag)
    project.done("stack", "start")
    web, db, _ = state(project)
    write(project, tag, script=f"echo new; {FOREVER}")
    shown = project.done("stack", "update", "--dry-run").out
    assert "web       configuration" in shown
    project.done("stack", "update")
    assert project.container("web") != web
    assert project.container("db") == db
    assert project.done("stack", "logs", "web").out == "new\n"


def test_a_version_that_never_gets_healthy_is_rolled_back(project: Project) -> None:
    reference = f"{project.name}-web"
    try:
        write_built(project, "good1")
        project.done("stack", "update")
        old, web = project.engine.inspect_image(reference)["Id"], project.container("web")
        shown = project.done("stack", "update", "--dry-run")
        row = shown.out.splitlines()[1]
        assert row.split("  ")[0] == "web"
        assert "rebuilt" in row
        assert row.endswith("known after the build")
        assert shown.err == (
            "web: always rebuilt, but replaced only if the build gives a different image\n"
        )
        write_built(project, "bad")
        failed = project.run("stack", "update", "--timeout", "1s")
        assert failed.code == 1
        assert (
            f"error: the update of {project.name} failed: the old version is running again\n"
            in failed.err
        )
        assert "to be healthy" in failed.err
        assert project.container("web") == web
        assert project.running() == {"web"}
        assert project.engine.inspect_image(reference)["Id"] == old
        assert not any("set-aside" in name for name in project.left())
        assert _images_of(project, "bad") == []
    finally:
        project.remove()
        project.engine.remove_image(reference, force=True)


def _images_of(project: Project, version: str) -> list[str]:
    """Return the images without a name that a failed update has left behind."""
    record = Path(project.environ["XDG_STATE_HOME"], "dockwright", "stacks")
    known = json.loads((record / f"{project.name}.images.json").read_text())
    left = []
    for image in known:
        with suppress(EngineError):
            if not project.engine.inspect_image(image["id"])["RepoTags"]:
                left.append(f"{version} {image['id']}")
    return left


def started_update(project: Project, tag: str, versions: dict[str, str]) -> None:
    """Start a stack, and give the image's name to a version that never gets healthy."""
    write(project, tag)
    project.done("stack", "start")
    project.engine.tag_image(versions["bad"], tag)


def test_ctrl_c_rolls_an_update_back(project: Project, tag: str, versions: dict[str, str]) -> None:
    started_update(project, tag, versions)
    before = state(project)
    with project.popen("stack", "update") as process:
        assert process.stderr
        next(line for line in process.stderr if line.startswith("web: started"))
        process.send_signal(signal.SIGINT)
        err = process.stderr.read()
        assert process.wait(LIMIT_S) == 130
    assert "interrupted: putting the old version back ..." in err
    assert state(project) == before


def test_the_next_command_rolls_back_a_killed_update(project: Project) -> None:
    reference = f"{project.name}-web"
    try:
        write_built(project, "good1")
        project.done("stack", "start")
        web, image = project.container("web"), project.engine.inspect_image(reference)["Id"]
        write_built(project, "bad")
        with project.popen("stack", "update") as process:
            assert process.stderr
            next(line for line in process.stderr if line.startswith("web: started"))
            process.kill()
        bad = project.engine.inspect_image(reference)["Id"]
        assert bad != image
        write_built(project, "good1")
        result = project.done("stack", "stop")
        told = f"an earlier command was killed: put back web, {reference}\n"
        assert result.err.startswith(told)
        assert project.container("web") == web
        assert project.engine.inspect_image(reference)["Id"] == image
        assert not project.engine.has_image(bad)
        assert "an earlier command" not in project.done("stack", "start").err
        assert project.container("web") == web
    finally:
        project.remove()
        project.engine.remove_image(reference, force=True)


@pytest.fixture
def registry(engine: Engine) -> Iterator[Registry]:
    if shutil.which("docker") is None or not engine.endpoint.url.startswith("unix://"):
        pytest.skip("needs the docker command, and an engine that reaches this host's loopback")
    registry = Registry()
    yield registry
    registry.close()


def test_a_newer_image_is_pulled_from_its_registry(
    project: Project, versions: dict[str, str], registry: Registry
) -> None:
    name = f"{project.name}-pulled:1"
    reference = f"{registry.url.removeprefix('http://')}/library/{name}"

    def publish(version: str) -> None:
        project.engine.tag_image(versions[version], name)
        registry.publish(name)
        project.engine.remove_image(name)

    try:
        publish("good1")
        project.write(plain_service("web", FOREVER, [GOOD]).replace("IMAGE", reference))
        assert f"{reference} can be pulled (sha256:" in project.done("stack", "check").out
        assert not project.engine.has_image(reference)
        project.done("stack", "start")
        assert json.loads(project.done("stack", "update", "--dry-run", "--json").out) == {
            "changes": [
                {"service": "web", "what": [], "from": versions["good1"], "to": versions["good1"]}
            ]
        }
        publish("good2")
        (change,) = json.loads(project.done("stack", "update", "--dry-run", "--json").out)[
            "changes"
        ]
        assert change["what"] == ["image"]
        assert change["to"] == project.engine.remote_digest(reference)
        assert project.engine.inspect_image(reference)["Id"] == versions["good1"]
        result = project.done("stack", "update")
        assert f"web: pulling {reference}" in result.err
        assert project.engine.inspect_image(reference)["Id"] == versions["good2"]
        details = project.engine.inspect_container(project.container("web"))
        assert details["Image"] == versions["good2"]
    finally:
        project.remove()
        project.engine.remove_image(reference, force=True)


def test_an_image_that_cannot_be_pulled_changes_nothing(project: Project, tag: str) -> None:
    write(project, tag)
    project.done("stack", "start")
    before = state(project)
    text = (project.directory / "compose.yaml").read_text()
    local = text.replace("pull_policy: never", "pull_policy: missing")
    (project.directory / "compose.yaml").write_text(local)
    for arguments in (["update", "web"], ["update", "web", "--dry-run"]):
        failed = project.run("stack", *arguments)
        assert failed.code == 1
        assert f"image {tag} cannot be pulled: " in failed.err
        assert "or use the existing images with --no-pull" in failed.err
        assert state(project) == before
    assert project.done("stack", "update", "--no-pull").err.endswith("is up to date\n")


def test_an_orphan_is_removed_only_on_request(project: Project, tag: str) -> None:
    write(project, tag)
    project.done("stack", "start")
    web = plain_service("web", FOREVER, [GOOD]).replace("IMAGE", tag)
    project.write(f"{web}\n  pull_policy: never", VOLUMES)
    result = project.done("stack", "update")
    assert "no longer declared, but kept: db (use --remove-orphans to remove them)" in result.err
    assert project.running() == {"web", "db"}
    shown = project.done("stack", "update", "--dry-run", "--remove-orphans").out
    assert shown.splitlines()[2].split()[:2] == ["db", "orphan"]
    assert project.running() == {"web", "db"}
    project.done("stack", "update", "--remove-orphans")
    assert project.running() == {"web"}
    assert f"volume {project.name}_data" in project.left()


def renamed(project: Project, before: str, after: str, rest: str, script: str = FOREVER) -> None:
    """Start a service `before`, and declare it as `after`."""
    project.write(plain_service(before, FOREVER, [rest]))
    project.done("stack", "start")
    project.write(plain_service(after, script, [rest]))


@pytest.mark.soak(sample=2)
@pytest.mark.parametrize("what", ["name", "port"])
def test_a_renamed_service_takes_the_name_and_the_port_of_the_orphan(
    project: Project, what: str
) -> None:
    port = free_port()
    rest = f"container_name: {project.name}-fixed" if what == "name" else f"ports: ['{port}:80']"
    renamed(project, "db", "database", rest)

    failed = project.run("stack", "start")

    holder = f"{project.name}-fixed" if what == "name" else f"{project.name}-db-1"
    assert failed.code == 1
    assert (
        f"hint: container {holder} uses it: it belongs to service db, which this project no longer "
        "declares; `dockwright stack update --remove-orphans` removes it first" in failed.err
    )
    assert project.running() == {"db"}
    result = project.done("stack", "update", "--no-pull", "--remove-orphans")
    assert [line.split()[:2] for line in result.out.splitlines()[1:]] == [
        ["database", "new"],
        ["db", "orphan"],
    ]
    assert project.running() == {"database"}
    assert not any("set-aside" in each for each in project.left())


def test_a_failed_update_brings_an_orphan_back(project: Project) -> None:
    renamed(project, "db", "database", f"container_name: {project.name}-fixed", "exit 3")
    container = project.container("db")

    failed = project.run("stack", "update", "--no-pull", "--remove-orphans")

    assert failed.code == 1
    assert "exited with code 3" in failed.err
    assert project.running() == {"db"}
    assert project.container("db") == container
    details = project.engine.inspect_container(container)
    assert details["Name"] == f"/{project.name}-fixed"


def test_a_failed_update_brings_a_native_process_back(
    project: Project, tag: str, versions: dict[str, str]
) -> None:
    def declare(word: str) -> None:
        write(project, tag)
        command = f"[sh, -c, 'echo {word}; exec tail -f /dev/null']"
        native = f"x-dockwright: {{processes: {{worker: {{command: {command}}}}}}}\n"
        with (project.directory / "compose.yaml").open("a") as file:
            file.write(native)

    declare("old")
    project.done("stack", "start", apart=True)
    project.engine.tag_image(versions["bad"], tag)
    declare("new")
    failed = project.run_apart("stack", "update", "--timeout", "1s")
    assert failed.code == 1
    assert "the old version is running again" in failed.err
    assert [each for each in project.left() if each.startswith("process")] == ["process worker"]
    project.engine.tag_image(versions["good1"], tag)
    declare("old")
    assert "worker: already running" in project.done("stack", "start", apart=True).err


def test_an_unknown_service_names_the_valid_ones(project: Project, tag: str) -> None:
    write(project, tag)
    for arguments in (["update", "wep"], ["update", "--dry-run", "wep"], ["logs", "wep"]):
        refused = project.run("stack", *arguments)
        assert refused.code == 2
        assert "no service 'wep'" in refused.err
        assert "the services are: web, db" in refused.err
