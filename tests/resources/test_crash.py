"""What a killed process left goes with ``dockwright clean``, and nothing foreign goes with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.engine import Engine, current_owner
from dockwright.model import Owner, Ownership
from dockwright.paths import project_hash
from dockwright.pool import RetainedStacks
from dockwright.pool.journal import ResourceJournal, TrackedResource
from dockwright.wait import poll_for_process_exit
from tests._support.owned import Owned
from tests.resources.conftest import workspaces

pytestmark = pytest.mark.engine

_OWNER = """
import pathlib, subprocess, sys
from dockwright import TemporaryBackupDir, TemporaryConfigDir, TestArtifactTracker
from dockwright.engine import connect
name, scratch, there = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
engine = connect()
tracker = TestArtifactTracker("test_it.py::test_it")
(TemporaryConfigDir().__enter__() / "key").touch()
(TemporaryBackupDir(base=there).__enter__() / "tar").touch()
tracker.track_file(there / "foreign")
tracker.track_volume(name + "-foreign")
tracker.track_file(there / "file").touch()
(tracker.track_directory(there / "directory") / "deep").mkdir(parents=True)
labels = {"dockwright-test": name}
network = tracker.create_network()
engine.create_network(tracker.track_network(name + "-network"), {"Labels": labels})
engine.create_volume(tracker.track_volume(name + "-volume"), {"Labels": labels})
body = {"Image": scratch, "Cmd": ["tail", "-f", "/dev/null"], "Labels": labels}
body["HostConfig"] = {"NetworkMode": name + "-network", "Binds": [name + "-volume:/v"]}
engine.start_container(engine.create_container(tracker.track_container(name + "-plain"), body))
tracker.create_container(scratch, "true", HostConfig={"NetworkMode": network})
engine.tag_image(scratch, tracker.track_image(f"dockwright-test/{name}:1"))
project = tracker.track_project(name + "-project")
mine = {**labels, "com.docker.compose.project": project}
engine.create_volume(name + "-of-the-project", {"Labels": mine})
marked = tracker.start_process(["sleep", "600"], stdout=subprocess.DEVNULL)
plain = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
tracker.track_process(plain)
print(marked.pid, plain.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    made = tmp_path / "there"
    made.mkdir()
    (made / "foreign").touch()
    return made


@pytest.fixture
def pids(owned: Owned, scratch: str, there: Path) -> Iterator[list[int]]:
    """Processes that a killed owner of many things has left."""
    owned.engine.create_volume(f"{owned.name}-foreign", {"Labels": owned.labels})
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, owned.name, scratch, str(there)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    process.kill()
    process.communicate(timeout=20)
    found = [int(pid) for pid in line.split()]
    yield found
    owned.engine.remove_image(f"dockwright-test/{owned.name}:1")
    for pid in found:
        if not poll_for_process_exit(pid, timeout=0):
            os.kill(pid, 9)


def test_clean_removes_what_a_killed_process_left_and_nothing_else(
    pids: list[int],
    owned: Owned,
    engine: Engine,
    there: Path,
    state: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(pids) == 2
    assert len(workspaces(state)) == 3
    assert run(["clean", "--json", "--dry-run"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["selected"]]
    (mine,) = (row for row in rows if row["stack"] == "artifacts of test_it.py::test_it")
    kinds = ("containers", "networks", "volumes", "processes", "images", "files")
    assert [mine[kind] for kind in kinds] == [2, 2, 2, 2, 1, 2]
    others = {row["stack"] for row in rows if row is not mine}
    assert others == {"backup directory", "configuration directory of DOCKWRIGHT_CONFIG_DIR"}

    assert run(["clean"]) == 0
    told = capsys.readouterr().err
    assert "removed 2 containers, 2 networks, 2 volumes, 2 processes, 1 image, 4 files\n" in told
    assert owned.left() == [f"volume {owned.name}-foreign"]
    assert not engine.has_image(f"dockwright-test/{owned.name}:1")
    assert [path.name for path in there.iterdir()] == ["foreign"]
    assert all(poll_for_process_exit(pid, timeout=5) for pid in pids)
    assert workspaces(state) == []


def test_kept_artifacts_are_removed_on_request(
    engine: Engine, tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = current_owner()
    dead = Owner(here.boot_id, 2**22 + 1, 1.0, here.host)
    ownership = Ownership("dw-test-1", project_hash(Path.cwd()), "a test", dead, 0.0, "0")
    evidence = tmp_path / "evidence"
    evidence.touch()
    ResourceJournal.create(state, ownership).add(TrackedResource("file", str(evidence)))
    RetainedStacks(state / "kept").add("dw-test-1")
    assert run(["clean"]) == 0
    told = capsys.readouterr().err
    assert "1 kept resource of failed tests left; remove with `dockwright clean --kept`\n" in told
    assert evidence.exists()
    assert run(["clean", "--kept"]) == 0
    assert "removed 1 file\n" in capsys.readouterr().err
    assert not evidence.exists()
    assert workspaces(state) == []
    assert RetainedStacks(state / "kept").names() == frozenset()
