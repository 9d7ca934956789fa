"""What dead tests wrote down goes; what is foreign, later, elsewhere or alive stays."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dockwright.engine import Engine, current_owner, ownership_labels
from dockwright.model import Owner, Ownership
from dockwright.pool import RetainedStacks, Workspace, survey
from dockwright.pool.journal import ResourceJournal, TrackedResource
from dockwright.pool.reaper import reap, reap_journals
from tests._support.owned import Owned

PROJECT = "0123456789ab"
ALIVE = current_owner()
DEAD = Owner(boot_id=ALIVE.boot_id, pid=2**22 + 1, started=1.0, host=ALIVE.host)
LONG_AGO_S = time.time() - 3600


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dockwright"


@pytest.fixture
def kept(state: Path) -> RetainedStacks:
    return RetainedStacks(state / "kept")


def journal(
    state: Path,
    *resources: TrackedResource,
    owner: Owner = DEAD,
    name: str = "dw-test-1",
    project: str = PROJECT,
) -> ResourceJournal:
    """A journal of somebody else; its workspace still says that it is this process's."""
    made = ResourceJournal.create(
        state, Ownership(name, project, "artifacts of a test", owner, time.time(), "0")
    )
    for trace in resources:
        made.add(trace)
    return made


def last_seen(journal: ResourceJournal, when_s: float) -> None:
    os.utime(journal.workspace.directory / "journal.jsonl", (when_s, when_s))


def made_file(path: Path, *, ours: bool = False) -> TrackedResource:
    path.touch()
    return TrackedResource("file", str(path), ours=ours)


def test_a_journal_is_read_as_it_was_written(state: Path) -> None:
    resources = [
        TrackedResource("volume", "v", "unix:///x"),
        TrackedResource("process", "7", started_s=1.25),
    ]
    made = journal(state, *resources)
    assert [(each.name, each.ownership) for each in ResourceJournal.all(state)] == [
        ("dw-test-1", made.ownership)
    ]
    assert made.resources() == resources
    with (made.workspace.directory / "journal.jsonl").open("a") as file:
        file.write('{"kind": "file", "na')  # its owner died just then
    assert made.resources() == resources
    made.remove()
    assert list(ResourceJournal.all(state)) == []
    assert made.resources() == []
    made.beat()


def test_a_workspace_with_a_journal_is_not_deleted_before_its_things(state: Path) -> None:
    made = journal(state)
    owner = made.workspace.directory / "owner.json"
    owner.write_text(owner.read_text().replace(str(ALIVE.pid), str(DEAD.pid)))
    assert Workspace.reap(state) == 0
    assert made.workspace.directory.exists()


def test_only_the_dead_of_this_project_that_nobody_kept_are_reaped(
    state: Path, kept: RetainedStacks, tmp_path: Path
) -> None:
    cases = {
        "goes": journal(state, made_file(tmp_path / "goes"), name="dw-1"),
        "alive": journal(state, made_file(tmp_path / "alive"), name="dw-2", owner=ALIVE),
        "kept": journal(state, made_file(tmp_path / "kept"), name="dw-3"),
        "other": journal(state, made_file(tmp_path / "other"), name="dw-4", project="other"),
        "distant": journal(
            state, made_file(tmp_path / "distant"), name="dw-5", owner=replace(DEAD, host="x")
        ),
    }
    kept.add("dw-3")
    reap_journals(PROJECT, kept)
    assert {name for name in cases if (tmp_path / name).exists()} == {*cases} - {"goes"}
    assert {each.name for each in ResourceJournal.all(state)} == {"dw-2", "dw-3", "dw-4", "dw-5"}


def test_resources_made_after_the_death_of_the_owner_stay(
    state: Path, kept: RetainedStacks, tmp_path: Path
) -> None:
    later, ours = tmp_path / "later", tmp_path / "ours"
    dead = journal(state, made_file(later), made_file(ours, ours=True))
    last_seen(dead, LONG_AGO_S)
    reap_journals(PROJECT, kept)
    assert later.exists()
    assert not ours.exists()
    assert list(ResourceJournal.all(state)) == []


def test_a_process_is_ended_only_if_it_is_the_same_one(state: Path, kept: RetainedStacks) -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        started_s = psutil.Process(child.pid).create_time()
        journal(
            state,
            TrackedResource("process", str(child.pid), started_s=started_s - 100),
            name="dw-1",
        )
        reap_journals(PROJECT, kept)
        assert child.poll() is None
        journal(state, TrackedResource("process", str(child.pid), started_s=started_s), name="dw-2")
        reap_journals(PROJECT, kept)
        assert child.poll() is not None
    finally:
        child.kill()
        child.wait()


@pytest.mark.engine
def test_engine_names_follow_the_same_rules(
    state: Path, kept: RetainedStacks, engine: Engine, owned: Owned, scratch: str
) -> None:
    url = engine.endpoint.url
    names = {kind: f"{owned.name}-{kind}" for kind in ("goes", "later", "theirs", "network")}
    container = owned.create(scratch, "true")
    theirs = ownership_labels(Ownership("other", PROJECT, "default", ALIVE, time.time(), "0"))
    for kind in ("goes", "later"):
        engine.create_volume(names[kind], {"Labels": owned.labels})
    engine.create_volume(names["theirs"], {"Labels": {**theirs, **owned.labels}})
    engine.create_network(names["network"], {"Labels": owned.labels})
    image = f"dockwright-test/{owned.name}:1"
    engine.tag_image(scratch, image)
    resources = [TrackedResource("volume", names[kind], url) for kind in ("goes", "theirs")]
    resources += [
        TrackedResource("network", names["network"], url),
        TrackedResource("image", image, url),
    ]
    resources += [
        TrackedResource("container", container, url),
        TrackedResource("volume", "elsewhere", "tcp://other:1"),
    ]
    recent = journal(state, *resources, name="dw-1")
    old = journal(state, TrackedResource("volume", names["later"], url), name="dw-2")
    last_seen(old, LONG_AGO_S)

    mine = next(each for each in survey(engine, kept) if each.project == "dw-1")
    assert mine.counts() == {
        "containers": 1,
        "networks": 1,
        "volumes": 1,
        "processes": 0,
        "images": 1,
        "files": 0,
    }
    assert reap(engine, PROJECT, kept) == 4
    assert sorted(owned.left()) == [f"volume {names[kind]}" for kind in ("later", "theirs")]
    assert not engine.has_image(image)
    assert engine.has_image(scratch)
    # What is on another engine waits for whoever looks there, and keeps its time.
    (left,) = ResourceJournal.all(state)
    assert left.resources() == [TrackedResource("volume", "elsewhere", "tcp://other:1")]
    assert left.name == recent.name
