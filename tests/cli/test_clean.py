"""``dockwright clean``: what a dead owner left goes; what lives, is long-lived or foreign stays."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.model import Json
from dockwright.pool import RetainedStacks
from tests._support.project import LIMIT_S, Project, plain_service

pytestmark = pytest.mark.engine

_OWNER = """
import sys, time
from pathlib import Path
from dockwright.compose import LoadOptions, load
from dockwright.engine import connect, current_owner
from dockwright.model import Ownership
from dockwright.paths import project_hash
from dockwright.stack import Identity, Stack, StackOptions
spec = load(LoadOptions())
root = project_hash(Path.cwd())
ownership = Ownership("test", root, "default", current_owner(), time.time(), "0")
Stack(spec, connect(), Identity(sys.argv[1], ownership), StackOptions(Path(sys.argv[2]))).start()
print("started", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class OwnedCopy:
    """A copy of a stack and the process that owns it."""

    project: Project
    process: subprocess.Popen[str]

    @property
    def name(self) -> str:
        return self.project.name

    def die(self) -> None:
        """Kill the owner, who can clean up nothing."""
        self.process.kill()
        self.process.wait(LIMIT_S)

    def row(self, *arguments: str) -> dict[str, object] | None:
        """Return what ``clean --json`` says of the copy."""
        rows = json.loads(self.project.done("clean", "--json", *arguments).out)
        return next((row for row in rows if row["project"] == self.name), None)


@contextmanager
def owned_copy(project: Project) -> Iterator[OwnedCopy]:
    """Start a copy of the project's stack, owned by a process of its own."""
    copy = replace(project, name=f"{project.name}-copy")
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, copy.name, str(project.directory)],
        cwd=project.directory,
        env=dict(project.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        yield OwnedCopy(copy, process)
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)
        copy.remove()


@pytest.fixture
def copy(project: Project) -> Iterator[OwnedCopy]:
    """A copy with a container, a network, a volume and a native process."""
    script = "import signal; signal.pause()"
    processes = {"job": {"command": [sys.executable, "-c", script]}}
    project.write(
        plain_service("web", "exec tail -f /dev/null", ["volumes: ['data:/data']"]),
        f"volumes: {{data: {{}}}}\nx-dockwright: {json.dumps({'processes': processes})}",
    )
    with owned_copy(project) as copy:
        yield copy


def test_the_copy_of_a_dead_owner_is_removed(copy: OwnedCopy) -> None:
    copy.die()
    row = copy.row("--dry-run")
    assert row is not None
    assert 0 <= float(str(row.pop("age_s"))) < 120
    assert row == {
        "project": copy.name,
        "stack": "default",
        "owner_pid": copy.process.pid,
        "state": "dead",
        "containers": 1,
        "networks": 1,
        "volumes": 1,
        "processes": 1,
        "images": 0,
        "files": 0,
        "selected": True,
        "removed": False,
    }
    assert len(copy.project.left()) == 4

    dry = copy.project.done("clean", "--dry-run")
    line = next(line for line in dry.out.splitlines() if line.startswith(copy.name))
    assert line.split()[1:5] == ["default", "pid", str(copy.process.pid), "dead"]
    assert line.endswith("remove")
    assert dry.err.startswith("would remove 1 container, 1 network, 1 volume, 1 process\n")

    done = copy.project.done("clean")
    assert done.err.startswith("removed 1 container, 1 network, 1 volume, 1 process\n")
    assert copy.project.left() == []
    assert "nothing to remove" in copy.project.done("clean").err


def test_the_copy_of_a_living_owner_is_kept(copy: OwnedCopy) -> None:
    row = copy.row("--kept")
    assert row is not None
    assert (row["state"], row["selected"]) == ("alive", False)
    assert len(copy.project.left()) == 4


def test_a_kept_copy_is_removed_only_on_request(copy: OwnedCopy) -> None:
    kept = RetainedStacks(Path(copy.project.environ["XDG_STATE_HOME"]) / "dockwright" / "kept")
    kept.add(copy.name)
    copy.die()
    result = copy.project.done("clean")
    assert "1 kept stack left; remove with `dockwright clean --kept`" in result.err
    assert len(copy.project.left()) == 4
    copy.project.done("clean", "--kept")
    assert copy.project.left() == []
    assert kept.names() == frozenset()


def test_the_copy_of_another_project_is_removed_only_on_request(copy: OwnedCopy) -> None:
    copy.die()
    elsewhere = copy.project.directory.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pytest.ini").touch()
    other = replace(copy, project=replace(copy.project, directory=elsewhere))
    assert other.row() is None
    note = other.project.done("clean", "--dry-run").err
    assert re.search(
        r"\d+ cop(y|ies) of other projects left; remove with `dockwright clean --all-projects`",
        note,
    )
    row = other.row("--all-projects", "--dry-run")  # others' copies are not a test's to remove
    assert row is not None
    assert row["selected"] is True
    assert len(copy.project.left()) == 4


def test_long_lived_stacks_and_foreign_containers_are_kept(project: Project) -> None:
    project.write(plain_service("web", "exec tail -f /dev/null"))
    project.done("stack", "start")
    name = f"dw-{project.name}-foreign"
    body: dict[str, Json] = {"Image": project.image, "Cmd": ["true"], "Labels": project.labels}
    project.engine.create_container(name, body)
    rows = json.loads(project.done("clean", "--kept", "--json").out)
    (row,) = (row for row in rows if row["project"] == project.name)
    assert (row["state"], row["owner_pid"], row["selected"]) == ("long-lived", None, False)
    assert project.running() == {"web"}
    assert f"container /{name}" in project.left()


def test_frozen_volumes_of_a_deleted_cache_directory_are_removed(
    project: Project, unique_name: str, tmp_path: Path
) -> None:
    deleted = BaselineStore(tmp_path / "deleted")
    labels = FrozenVolumes(project.engine, deleted).labels("key")
    project.engine.create_volume(unique_name, {"Labels": labels})
    result = project.done("clean", "--json")
    assert re.search(r"^removed \d+ frozen volumes? of baselines that are gone$", result.err, re.M)
    assert not project.engine.list_volumes({"dev.dockwright.store": str(deleted.directory)})
