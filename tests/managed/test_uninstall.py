"""``dockwright stack uninstall``: images, configuration, and what is somebody else's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests._support.owned import Owned
from tests._support.project import LIMIT_S, Project, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"
SECRETS = "x-dockwright: {secrets: [TOKEN]}\nvolumes: {data: {}}"


@pytest.fixture
def built(project: Project) -> Iterator[Project]:
    """A started project that has built its image, with data, settings and a secret."""
    dockerfile = f"FROM {project.image}\\nLABEL of={project.name}\\n"
    build = f'build: {{context: ., dockerfile_inline: "{dockerfile}"}}'
    web = plain_service("web", FOREVER, ["volumes: ['data:/data']"]).replace("image: IMAGE", build)
    project.write(web, SECRETS)
    project.done("stack", "install", "--no-check")
    project.done("stack", "start")
    yield project
    project.remove()
    for image in project.engine.list_images({"of": project.name}):
        for name in image.get("RepoTags") or [image["Id"]]:
            project.engine.remove_image(name, force=True)


def image(project: Project) -> str:
    return f"{project.name}-web"


def home(project: Project) -> Path:
    return Path(project.environ["XDG_CONFIG_HOME"], "dockwright", project.name)


def images(project: Project) -> int:
    return len(project.engine.list_images({"of": project.name}))


def kinds(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_all_removes_everything_and_can_be_repeated(built: Project) -> None:
    result = built.done("stack", "uninstall", "--all", "--force")
    assert kinds(result.out) == ["container", "network", "volume", "image", "file", "file"]
    assert result.err == f"removed 6 items of {built.name}\n"
    assert built.left() == []
    assert images(built) == 0
    assert not home(built).exists()
    again = built.done("stack", "uninstall", "--all", "--force")
    assert (again.out, again.err) == ("", f"nothing to remove: stack {built.name} does not exist\n")


def test_uninstall_lists_what_it_keeps(built: Project) -> None:
    left = built.done("stack", "uninstall", "--force").err.splitlines()
    assert left[0] == f"removed 2 items of {built.name}"
    assert left[1] == f"kept 1 volume ({built.name}_data); to remove the data, use --volumes"
    assert left[2].startswith(f"kept 1 image ({image(built)} (")
    assert left[2].endswith("); to remove them, use --images")
    assert left[3] == (
        f"kept 2 files ({home(built) / 'settings.toml'}, {home(built) / '.env'}); "
        "to remove settings and secrets, use --config"
    )
    secret = (home(built) / ".env").read_text()
    built.done("stack", "install", "--no-check")
    assert (home(built) / ".env").read_text() == secret


def test_foreign_files_are_kept(built: Project) -> None:
    (home(built) / "notes.txt").write_text("mine")
    result = built.done("stack", "uninstall", "--config", "--force")
    assert f"kept {home(built) / 'notes.txt'}: dockwright did not create it" in result.err
    assert [path.name for path in home(built).iterdir()] == ["notes.txt"]


def test_an_image_in_use_elsewhere_is_kept(built: Project, owned: Owned) -> None:
    user = owned.run(image(built), "tail", "-f", "/dev/null")
    name = built.engine.inspect_container(user)["Name"].lstrip("/")
    result = built.done("stack", "uninstall", "--images", "--force")
    assert "image" not in kinds(result.out)
    assert f"): container {name} uses it" in result.err
    assert images(built) == 1
    owned.remove()
    assert kinds(built.done("stack", "uninstall", "--images", "--force").out) == ["image"]
    assert images(built) == 0


def test_an_image_with_a_second_tag_is_kept(built: Project) -> None:
    built.engine.tag_image(image(built), f"{built.name}-mine:1")
    result = built.done("stack", "uninstall", "--images", "--force")
    assert f"): it is also tagged {built.name}-mine:1" in result.err
    assert images(built) == 1


def test_an_image_that_existed_before_is_kept(project: Project) -> None:
    project.write(plain_service("web", FOREVER))
    project.done("stack", "start")
    result = project.done("stack", "uninstall", "--images", "--force")
    assert kinds(result.out) == ["container", "network"]
    assert project.engine.has_image(project.image)


def test_uninstall_works_without_the_project_files(built: Project, tmp_path: Path) -> None:
    (built.directory / "compose.yaml").unlink()
    elsewhere = replace(built, directory=tmp_path)
    result = elsewhere.done("stack", "uninstall", "-p", built.name, "--all", "--force")
    assert f"continuing with what the engine has of {built.name}" in result.err
    assert built.left() == []
    assert images(built) == 0
    assert not home(built).exists()
    again = elsewhere.done("stack", "uninstall", "-p", built.name, "--all", "--force")
    assert again.err.endswith(f"nothing to remove: stack {built.name} does not exist\n")


def test_a_stack_with_an_unknown_directory_is_refused(project: Project, tmp_path: Path) -> None:
    project.write(plain_service("web", FOREVER))
    project.done("stack", "start")
    elsewhere = replace(project, directory=tmp_path)
    refused = elsewhere.run("stack", "uninstall", "-p", project.name, "--all", "--force")
    assert refused.code == 2
    assert f"no Compose file in {tmp_path}" in refused.err
    assert project.running() == {"web"}


def test_undeclared_native_processes_are_removed(project: Project) -> None:
    native = "x-dockwright: {processes: {worker: {command: [tail, -f, /dev/null]}}}"
    project.write(plain_service("web", FOREVER), native)
    project.done("stack", "start", apart=True)  # the process outlives its starter
    assert "process worker" in project.left()
    project.write(plain_service("web", FOREVER))
    result = project.done("stack", "uninstall", "--force")
    assert "process" in kinds(result.out)
    assert project.left() == []


def test_uninstall_works_without_the_secrets(project: Project) -> None:
    token = ["environment: {TOKEN: '${TOKEN:?set it}'}", "volumes: ['data:/data']"]
    project.write(plain_service("web", FOREVER, token), SECRETS)
    project.done("stack", "install", "--no-check", "--no-pull")
    project.done("stack", "start")
    project.done("stack", "uninstall", "--config", "--force")
    refused = project.run("stack", "start")
    assert refused.code == 2
    assert refused.err.splitlines()[0] == (
        "warning: secrets without a value: TOKEN; `dockwright stack install` generates them"
    )
    assert "required variable TOKEN is missing a value: set it" in refused.err
    project.done("stack", "uninstall", "--all", "--force")
    assert project.left() == []


def test_an_interrupted_uninstall_can_be_continued(project: Project) -> None:
    slow = plain_service("web", f"trap '' TERM; {FOREVER}", ["stop_grace_period: 2s"])
    project.write(slow.replace("SIGKILL", "SIGTERM"))
    project.done("stack", "start")
    web = project.container("web")
    with (
        project.engine.events.subscribe() as events,
        project.popen("stack", "uninstall", "--force") as process,
    ):
        assert process.stderr
        while (event := events.get(LIMIT_S)) is not None:
            if (event.id, event.action) == (web, "kill"):  # it is asked to stop
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        lines = process.stderr.read().splitlines()
        assert lines[0] == "interrupted: finishing the removal ..."
        assert lines[-1] == "error: interrupted"
    assert project.left() == []
