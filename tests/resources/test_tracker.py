"""What is tracked before it is made goes, in the right order; what was there before stays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dockwright.engine import PREFIX, Engine
from dockwright.errors import AlreadyTrackedError, CleanupError, ConflictError
from dockwright.model import Json
from dockwright.pool import RetainedStacks
from dockwright.pool.journal import JOURNAL, ResourceJournal
from dockwright.pool.reaper import remove_path
from dockwright.resources import ArtifactTracker, TestArtifactTracker
from dockwright.wait import Continue, Outcome, Ready, poll_for_process_exit, until
from tests._support.owned import Owned, leftovers
from tests.resources.conftest import workspaces

PAUSE = [sys.executable, "-S", "-c", "import signal; signal.pause()"]


@pytest.fixture
def tracker(engine: Engine) -> Iterator[ArtifactTracker]:
    with ArtifactTracker(engine=lambda: engine) as made:
        yield made


def test_files_and_directories_go_and_what_was_there_stays(tmp_path: Path, state: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("theirs")
    with ArtifactTracker() as tracker:
        old = tracker.track_directory(tmp_path / "old")
        tracker.track_file(tmp_path / "old" / "file")
        (tracker.track_file(old / "new")).touch()
        deep = tracker.track_directory(tmp_path / "a" / "b")
        top = tracker.track_directory(tmp_path / "a")
        deep.mkdir(parents=True)
        (deep / "data").write_text("ours")
        link = tracker.track_file(tmp_path / "link")
        link.symlink_to(tmp_path / "old")
        tracker.track_file("relative").touch()
        tracker.track_file(tmp_path / "never made")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "project", "state"]
    assert [path.name for path in old.iterdir()] == ["file"]
    assert not top.exists()
    assert list(Path.cwd().iterdir()) == []
    assert workspaces(state) == []


def test_nothing_is_touched_until_something_is_tracked(state: Path) -> None:
    def no_engine() -> Engine:
        raise AssertionError("an engine was asked for")

    with ArtifactTracker(engine=no_engine):
        assert workspaces(state) == []


@pytest.mark.engine
def test_everything_of_all_kinds_goes_in_the_right_order(
    tracker: ArtifactTracker, engine: Engine, scratch: str, tmp_path: Path, state: Path
) -> None:
    # Each holds on to the next: a wrong order could not remove them.
    directory = tracker.track_directory(tmp_path / "mounted")
    directory.mkdir()
    image = tracker.track_image("dockwright-test/tracked:" + tracker.name().rpartition("-")[2])
    network, volume = tracker.track_network(), tracker.create_volume()
    engine.tag_image(scratch, image)
    engine.create_network(network)
    plain = tracker.track_container()
    body: dict[str, Json] = {
        "Image": image,
        "Cmd": ["tail", "-f", "/dev/null"],
        "HostConfig": {
            "NetworkMode": network,
            "Binds": [f"{volume}:/data", f"{directory}:/mounted"],
        },
    }
    engine.start_container(engine.create_container(plain, body))
    made = tracker.create_container(image, "sh", "-c", "echo $X", Env=["X=1"], Labels={"mine": "1"})
    labels = engine.inspect_container(made)["Config"]["Labels"]
    assert labels["mine"] == "1"
    assert labels[f"{PREFIX}stack"] == "artifacts"
    ours = tracker.labels
    assert labels.items() >= ours.items()
    tracker.close()
    names = [engine.inspect_container, engine.inspect_network, engine.inspect_volume]
    for inspect, name in zip(names, (plain, network, volume), strict=True):
        with pytest.raises(Exception, match=name):
            inspect(name)
    assert not engine.has_image(image)
    assert engine.has_image(scratch)
    assert not directory.exists()
    assert leftovers(engine, ours) == []
    assert workspaces(state) == []
    tracker.close()  # a second time is fine


@pytest.mark.engine
def test_images_that_were_there_before_stay(
    owned: Owned, engine: Engine, scratch: str, unique_name: str
) -> None:
    engine.create_volume(unique_name, {"Labels": owned.labels})
    container = owned.create(scratch, "true")
    name = engine.inspect_container(container)["Name"].lstrip("/")
    with ArtifactTracker(engine=lambda: engine) as tracker:
        assert tracker.track_volume(unique_name) == unique_name
        assert tracker.track_container(name) == name
        assert tracker.track_image(scratch) == scratch
        with pytest.raises(ConflictError):
            tracker.create_container(scratch, "true", name=name)
        with pytest.raises(ConflictError, match=f"volume {unique_name} exists already"):
            tracker.create_volume(unique_name)
    assert len(owned.left()) == 2
    assert engine.has_image(scratch)


@pytest.mark.engine
def test_resources_with_its_labels_or_marks_are_removed_without_being_named(
    tracker: ArtifactTracker, engine: Engine, scratch: str
) -> None:
    labels = tracker.labels
    engine.create_volume(tracker.name("volume"), {"Labels": labels})
    network = engine.create_network(tracker.name("network"), {"Labels": labels})
    body: dict[str, Json] = {
        "Image": scratch,
        "Cmd": ["true"],
        "Labels": labels,
        "HostConfig": {"NetworkMode": network},
    }
    engine.start_container(engine.create_container(tracker.name("container"), body))
    child = subprocess.Popen(PAUSE, env={**os.environ, **tracker.environment})
    try:
        assert len(leftovers(engine, labels)) == 3
        tracker.close()
        assert leftovers(engine, labels) == []
        assert child.poll() is not None
    finally:
        child.kill()
        child.wait()


@pytest.mark.engine
def test_another_owners_thing_of_the_same_name_stays(
    engine: Engine, unique_name: str, tracker: ArtifactTracker
) -> None:
    with ArtifactTracker(engine=lambda: engine) as other:
        tracker.track_volume(unique_name)
        engine.create_volume(unique_name, {"Labels": other.labels})
        tracker.close()
        assert leftovers(engine, other.labels) == [f"volume {unique_name}"]


def test_a_process_goes_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, signal\n"
        "child = subprocess.Popen(sys.argv[1:], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()"
    )
    with ArtifactTracker() as tracker:
        parent = tracker.start_process(
            [sys.executable, "-S", "-c", script, *PAUSE], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout
        with parent.stdout:
            child = int(parent.stdout.readline())
        parent.kill()  # its child is nobody's child now, and known by its marks
        parent.wait()
        assert psutil.pid_exists(child)
    assert poll_for_process_exit(child, timeout=5)


def test_a_process_of_ones_own_is_tracked_by_pid_unless_it_is_older(state: Path) -> None:
    older = subprocess.Popen(PAUSE)
    try:
        with ArtifactTracker() as tracker:
            tracker.track_process(older)
            tracker.track_process(os.getpid())
            assert workspaces(state) == []
            younger = subprocess.Popen(PAUSE)
            assert tracker.track_process(younger) == younger.pid
            by_pid = subprocess.Popen(PAUSE)
            tracker.track_process(by_pid.pid)
        assert younger.poll() is not None
        assert poll_for_process_exit(by_pid, timeout=5)
        assert older.poll() is None
    finally:
        older.kill()
        older.wait()


def test_failures_are_gathered_and_the_rest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockwright.pool.reaper.remove_path", refuse("stubborn"))
    tracker = ArtifactTracker()
    for name in ("stubborn1", "stubborn2", "good"):
        tracker.track_file(tmp_path / name).touch()
    with pytest.raises(ExceptionGroup) as caught:
        tracker.close()
    assert caught.value.message == "artifacts: not everything could be removed"
    assert {str(each) for each in caught.value.exceptions} == {
        f"could not remove {tmp_path}/stubborn1: it is stubborn",
        f"could not remove {tmp_path}/stubborn2: it is stubborn",
    }
    assert not (tmp_path / "good").exists()


def test_a_failed_clean_up_never_hides_the_tests_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockwright.pool.reaper.remove_path", refuse("stubborn"))
    with pytest.raises(ValueError, match="the test's own") as caught, ArtifactTracker() as tracker:
        tracker.track_file(tmp_path / "stubborn").touch()
        raise ValueError("the test's own")
    assert caught.value.__notes__ == [
        "artifacts: not everything could be removed\n"
        f"  could not remove {tmp_path}/stubborn: it is stubborn"
    ]


def refuse(word: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        if word in path.name:
            raise CleanupError(f"could not remove {path}: it is {word}")
        remove_path(path)

    return remove


@pytest.mark.skipif(not Path("/proc/self/ns").exists(), reason="needs Linux")
def test_a_directory_that_cannot_be_removed_is_reported_with_the_part() -> None:
    with pytest.raises(CleanupError) as caught:
        remove_path(Path("/proc/self/ns"))  # not even root can
    told = str(caught.value)
    assert re.match(r"could not remove /proc/self/ns: .+: Operation not permitted\n", told)
    assert "hint: if a container that runs as another user wrote there" in told


def test_after_a_failure_all_stays_if_wanted(tmp_path: Path, state: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(ValueError) as caught, ArtifactTracker(keep_on_failure=True) as tracker:
        tracker.track_file(made).touch()
        raise ValueError
    assert made.exists()
    text = f"kept artifacts:\n  file {made}\n  remove: dockwright clean --kept"
    assert tracker.kept == text
    assert caught.value.__notes__ == [text]
    assert RetainedStacks(state / "kept").names() == set(workspaces(state))


def test_without_a_failure_nothing_is_kept_but_on_demand(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with ArtifactTracker(keep_on_failure=True) as tracker:
        tracker.track_file(made).touch()
    assert not made.exists()
    with ArtifactTracker() as tracker:
        tracker.track_file(made).touch()
        tracker.keep()
    assert made.exists()


def test_a_tests_tracker_names_its_test_and_knows_whether_it_failed(tmp_path: Path) -> None:
    failures: list[str] = []
    with TestArtifactTracker(
        "test_it.py::test_it", failed=lambda: bool(failures), keep_on_failure=True
    ) as tracker:
        told = [tracker.failed]
        tracker.track_file(tmp_path / "made").touch()
        failures.append("call")
        told.append(tracker.failed)
    assert told == [False, True]
    assert tracker.test == "test_it.py::test_it"
    assert tracker.kept.startswith("kept artifacts of test_it.py::test_it:\n")
    assert TestArtifactTracker.__test__ is False


def test_two_trackers_cannot_answer_for_one_thing(tmp_path: Path) -> None:
    with TestArtifactTracker("test_a") as one, TestArtifactTracker("test_b") as other:
        shared = one.track_file(tmp_path / "shared")
        assert one.track_file(tmp_path / "shared") == shared  # again by the same one is fine
        with pytest.raises(AlreadyTrackedError) as caught:
            other.track_file(tmp_path / "shared")
    assert str(caught.value) == (
        f"artifacts of test_b: file {shared} is already tracked by artifacts of test_a "
        f"(process {os.getpid()})\n  hint: tests that run at once need names of their own: "
        "take one from the tracker's name(...)"
    )
    with TestArtifactTracker("test_b") as other:
        other.track_file(shared)


def test_a_living_tracker_renews_its_mark(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockwright.resources.tracker._BEAT_S", 0.005)
    with ArtifactTracker() as tracker:
        tracker.track_file(tmp_path / "made")
        (journal,) = ResourceJournal.all(state)
        os.utime(journal.workspace.directory / JOURNAL, (1.0, 1.0))

        def outcome() -> Outcome:
            return Ready() if journal.last_seen_s > 1.0 else Continue("no sign of life")

        until(outcome, subject="a sign of life", timeout_s=20)


def test_names_are_fit_for_an_engine_and_each_is_new() -> None:
    one, other = ArtifactTracker(), ArtifactTracker()
    names = {one.name("My DB/_"), one.name("My DB/_"), other.name("My DB/_"), one.name("///")}
    assert len(names) == 4
    assert {name.rsplit("-", 2)[0] for name in names} == {"my-db", "artifact"}


def test_misuse_is_reported(tmp_path: Path) -> None:
    tracker = ArtifactTracker()
    with pytest.raises(ValueError, match="a path must not be empty"):
        tracker.track_file("")
    with pytest.raises(ValueError, match="the name of a volume must not be empty"):
        tracker.track_volume("")
    tracker.close()
    with pytest.raises(RuntimeError, match="artifacts: tracked after the tracker's end"):
        tracker.track_file(tmp_path / "late")


def test_a_forked_child_removes_nothing_of_its_parents(tmp_path: Path) -> None:
    with ArtifactTracker() as tracker:
        made = tracker.track_file(tmp_path / "made")
        made.touch()
        child = os.fork()
        if child == 0:
            tracker.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert made.exists()
    assert not made.exists()
