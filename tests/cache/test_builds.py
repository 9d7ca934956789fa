"""A build is repeated if anything that its image is made from has changed, and only then."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dockwright.cache import Builds, FileDigests, Savings, build_key
from dockwright.compose import LoadOptions, load
from dockwright.engine import BuildRequest, Engine
from dockwright.stack.images import Images, ImageWatch

DOCKERFILE = "ARG BASE=base:1\nFROM $BASE\nCOPY . /app\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    (directory / "sub").mkdir(parents=True)
    (directory / "Dockerfile").write_text(DOCKERFILE)
    (directory / ".dockerignore").write_text("*.log\n")
    (directory / "sub" / "main.txt").write_text("one")
    return directory


def key_of(request: BuildRequest, base: str = "sha256:1") -> str:
    return build_key(request, FileDigests(), lambda name: f"{base} of {name}")


EDITS: dict[str, Callable[[Path], object]] = {
    "the Dockerfile": lambda c: (c / "Dockerfile").write_text(f"{DOCKERFILE}ENV A=1\n"),
    "a file": lambda c: (c / "sub" / "main.txt").write_text("two"),
    "a new file": lambda c: (c / "new").write_text("x"),
    "a file less": lambda c: (c / "sub" / "main.txt").unlink(),
    "a file's mode": lambda c: (c / "sub" / "main.txt").chmod(0o700),
    "a file's name": lambda c: (c / "sub" / "main.txt").rename(c / "sub" / "other.txt"),
    "a link": lambda c: (c / "link").symlink_to("sub"),
    "what .dockerignore names": lambda c: (c / ".dockerignore").write_text("*.txt\n"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_context_changes_the_key(context: Path, edit: str) -> None:
    request = BuildRequest(context, ("shop:1",))
    before = key_of(request)
    assert key_of(request) == before
    EDITS[edit](context)
    assert key_of(request) != before


OTHERS: dict[str, dict[str, object]] = {
    "an argument": {"args": {"LANGUAGE": "en"}},
    "the base by an argument": {"args": {"BASE": "base:2"}},
    "a label": {"labels": {"a": "b"}},
    "a tag": {"tags": ("shop:2",)},
    "the target": {"target": "last"},
    "the platform": {"platforms": ("linux/arm64",)},
    "the network": {"network": "host"},
    "a host": {"extra_hosts": ("a:1.2.3.4",)},
    "the shared memory": {"shm_size_bytes": 1},
    "an inline Dockerfile": {"dockerfile_inline": "FROM scratch"},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_request_has_another_key(context: Path, other: str) -> None:
    request = BuildRequest(context, ("shop:1",))
    assert key_of(replace(request, **OTHERS[other])) != key_of(request)  # type: ignore[arg-type]


def test_a_base_image_that_moved_changes_the_key(context: Path) -> None:
    request = BuildRequest(context, ("shop:1",))
    assert key_of(request, "sha256:2") != key_of(request)


def test_ignored_files_and_the_place_of_a_context_do_not_count(
    context: Path, tmp_path: Path
) -> None:
    request = BuildRequest(context, ("shop:1",))
    before = key_of(request)
    (context / "debug.log").write_text("x")
    (context / "__pycache__").mkdir()
    (context / "__pycache__" / "a.pyc").write_text("x")
    assert key_of(request) == before
    other = shutil.copytree(context, tmp_path / "elsewhere" / "app")
    assert key_of(BuildRequest(other, ("shop:1",))) == before


@pytest.mark.engine
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"no_cache": True}, ""),
        ({"pull": True}, ""),
        ({"ssh": ("default",)}, ""),
        ({"secret_variables": {"a": "b"}}, ""),
        ({"cache_from": ("a",)}, ""),
        ({"additional_contexts": {"a": "https://example.com/a.git"}}, ""),
        ({}, "ADD https://example.com/a /a\n"),
        ({}, "ADD --chown=1:1 git@example.com:a.git /a\n"),
        ({}, 'add ["http://example.com/a", "/a"]\n'),
        ({}, "FROM dockwright-test/not-there:1\n"),
    ],
)
def test_a_build_without_a_complete_key_runs_each_time(
    engine: Engine, scratch: str, context: Path, more: dict[str, object], text: str
) -> None:
    (context / "Dockerfile").write_text(f"FROM {scratch}\n{text}")
    request = replace(BuildRequest(context, ("shop:1",)), **more)  # type: ignore[arg-type]
    assert Builds(context.parent / "builds", FileDigests()).key(engine, request) == ""
    plain = BuildRequest(context, ("shop:1",), dockerfile_inline=f"FROM {scratch}\nADD a https")
    assert Builds(context.parent / "builds", FileDigests()).key(engine, plain)


@dataclass
class Project:
    """A project with one service that is built, and what was built of it."""

    engine: Engine
    root: Path
    tag: str
    built: list[str] = field(default_factory=list)
    images: set[str] = field(default_factory=set)

    @property
    def builds(self) -> Builds:
        return Builds(self.root / "notes", FileDigests())

    def run(self, *, policy: str = "missing") -> tuple[bool, str]:
        """Get the image as a new broker does; return whether it was built, and its id."""
        self.built.clear()
        (self.root / "compose.yaml").write_text(
            f"name: built\nservices:\n  web:\n    image: {self.tag}\n    build: app\n"
            f"    pull_policy: {policy}\n"
        )
        spec = load(LoadOptions(start=self.root, environ=dict(os.environ)))
        images = Images(self.engine, disposable=True, builds=self.builds)
        ready = images.ensure(spec, spec.services["web"], ImageWatch(self.built.append))
        self.images.add(ready.id)
        return bool(self.built), ready.id


@pytest.fixture
def project(engine: Engine, scratch: str, context: Path) -> Iterator[Project]:
    word = secrets.token_hex(4)  # no other test builds, or removes, the same image
    (context / "Dockerfile").write_text(f"FROM {scratch}\nCOPY . /app\nLABEL test={word}\n")
    made = Project(engine, context.parent, f"dockwright-test/built:{word}")
    yield made
    for image in (made.tag, *made.images):
        if engine.has_image(image):
            engine.remove_image(image)


@pytest.mark.engine
def test_an_unchanged_build_is_not_repeated(project: Project) -> None:
    built, image = project.run()
    assert built
    assert project.run() == (False, image)
    assert Savings(project.builds.directory).total().hits == 1
    assert Savings(project.builds.directory).total().saved_s > 0


AGAIN: dict[str, Callable[[Project], object]] = {
    "a file": lambda p: (p.root / "app" / "sub" / "main.txt").write_text("two"),
    "the image is gone": lambda p: p.engine.remove_image(p.tag),
    "the tag names another image": lambda p: p.engine.tag_image("busybox:1", p.tag),
    "a damaged note": lambda p: [f.write_text("{") for f in p.builds.directory.glob("*.json")],
    "no note": lambda p: p.builds.clear(),
}


@pytest.mark.engine
@pytest.mark.parametrize("change", AGAIN)
def test_a_build_is_repeated_after(project: Project, change: str) -> None:
    _, image = project.run()
    AGAIN[change](project)
    built, again = project.run()
    assert built
    assert (again == image) == (change not in ("a file", "the image is gone"))
    assert project.run() == (False, again)


@pytest.mark.engine
def test_a_service_that_asks_for_a_build_gets_one(project: Project) -> None:
    project.run(policy="build")
    assert project.run(policy="build")[0]
