"""``dockwright stack backup``: whole archives or none."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.cli.project import LIMIT_S, Project, plain_service
from tests.integration.helpers import FOREVER, archives, listing, put
from tests.support import Owned

pytestmark = pytest.mark.engine


@pytest.mark.stateless
@pytest.mark.parametrize("suffix", [".tar.zst", ".tar.gz"])
def test_a_backup_is_one_file_for_its_owner_alone(app: Project, suffix: str) -> None:
    target = app.directory / f"one{suffix}"
    app.done("stack", "backup", "-o", target.name)
    assert target.stat().st_mode & 0o777 == 0o600
    app.done("stack", "restore", "--verify-only", target.name)


@pytest.mark.stateless
def test_a_backup_may_be_a_directory(app: Project) -> None:
    app.done("stack", "backup", "-o", "directory")
    assert (app.directory / "directory" / "manifest.json").exists()
    app.done("stack", "restore", "--verify-only", "directory")


@pytest.mark.stateless
def test_the_usual_name_tells_project_and_time(app: Project) -> None:
    before = set(archives(app))
    app.done("stack", "backup")
    (made,) = set(archives(app)) - before
    assert made.startswith(app.name)
    assert made.endswith(".tar.zst")


@pytest.mark.stateless
def test_ordinary_tools_open_it(app: Project) -> None:
    app.done("stack", "backup", "-o", "plain.tar.gz")
    with tarfile.open(app.directory / "plain.tar.gz") as tar:
        names = tar.getnames()
    assert {"manifest.json", "manifest.sha256", "compose.yaml"} <= set(names)
    assert any(name.startswith("volumes/") for name in names)


@pytest.mark.stateless
def test_its_manifest_has_sizes_and_checksums(app: Project) -> None:
    app.done("stack", "backup", "-o", "told.tar.gz")
    with tarfile.open(app.directory / "told.tar.gz") as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        text = stream.read().decode()
    assert app.name in text
    assert "sha256" in text


@pytest.mark.stateless
def test_json_tells_what_was_written(app: Project) -> None:
    told = json.loads(app.done("stack", "backup", "--json", "-o", "json.tar.zst").out)
    assert told["path"] == str(app.directory / "json.tar.zst")
    assert sorted(told["running"]) == ["side", "web"]
    assert [each["volume"] for each in told["parts"] if each["volume"]] == ["data"]


@pytest.mark.stateless
def test_the_stack_runs_on_afterwards(app: Project) -> None:
    app.done("stack", "backup", "-o", "runs.tar.zst")
    assert app.running() == {"web", "side"}
    states = [each["State"] for each in app.engine.list_containers(app.labels)]
    assert set(states) == {"running"}


@pytest.mark.stateless
def test_the_data_is_not_changed_by_it(app: Project) -> None:
    before = listing(app)
    app.done("stack", "backup", "-o", "same.tar.zst")
    assert listing(app) == before


@pytest.mark.stateless
def test_an_existing_target_is_refused_without_force(app: Project) -> None:
    target = app.directory / "there.tar.zst"
    target.write_text("mine")
    refused = app.run("stack", "backup", "-o", target.name)
    assert refused.code in (1, 2)
    assert "--force" in refused.err
    assert target.read_text() == "mine"
    app.done("stack", "backup", "--force", "-o", target.name)


@pytest.mark.stateless
@pytest.mark.parametrize("target", ["nowhere/a.tar.zst", "a.zip"])
def test_a_target_that_cannot_be_is_told(app: Project, target: str) -> None:
    refused = app.run("stack", "backup", "-o", target)
    if refused.code:
        assert target.split("/")[0] in refused.err
    else:  # a directory of that name
        assert (app.directory / target / "manifest.json").exists()


@pytest.mark.stateless
def test_a_stack_that_does_not_exist_is_told(project: Project) -> None:
    project.write("web: {image: IMAGE}")
    refused = project.run("stack", "backup")
    assert refused.code != 0
    assert archives(project) == []


@pytest.mark.stateful
def test_a_stopped_stack_is_backed_up_too(started: Project) -> None:
    started.done("stack", "stop")
    started.done("stack", "backup", "-o", "stopped.tar.zst")
    started.done("stack", "restore", "--verify-only", "stopped.tar.zst")
    assert started.running() == set()


@pytest.mark.stateful
def test_a_full_disk_is_told_and_the_stack_runs_on(started: Project, small_disk: Path) -> None:
    put(started, "dd if=/dev/urandom of=/data/large bs=1M count=8")
    failed = started.run("stack", "backup", "-o", str(small_disk / "a.tar.zst"))
    assert failed.code == 1
    assert "No space left on device" in failed.err
    assert list(small_disk.iterdir()) == []
    assert {each["State"] for each in started.engine.list_containers(started.labels)} == {"running"}


@pytest.mark.stateful
def test_what_is_external_is_told_not_to_be_in_it(owned: Owned, project: Project) -> None:
    outside = f"{owned.name}-outside"
    project.engine.create_volume(outside, {"Labels": owned.labels})
    volumes = ["volumes: ['data:/data', 'out:/out']"]
    project.write(
        plain_service("web", FOREVER, volumes),
        f"volumes: {{data: {{}}, out: {{external: true, name: {outside}}}}}",
    )
    project.done("stack", "start")
    told = project.done("stack", "backup", "-o", "a.tar.zst")
    assert "volume out is external: it is not part of the backup" in told.err
    assert "1 volume," in told.err


@pytest.mark.stateful
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_leaves_no_half_archive(started: Project, number: int) -> None:
    put(started, "dd if=/dev/urandom of=/data/large bs=1M count=48")
    interrupted(started, number)
    assert archives(started) == []
    assert {each["State"] for each in started.engine.list_containers(started.labels)} == {"running"}


@pytest.mark.stateful
def test_after_a_killed_backup_the_next_command_tidies_up(started: Project) -> None:
    put(started, "dd if=/dev/urandom of=/data/large bs=1M count=48")
    interrupted(started, signal.SIGKILL)
    started.done("stack", "backup", "-o", "next.tar.zst")
    assert archives(started) == ["next.tar.zst"]
    assert {each["State"] for each in started.engine.list_containers(started.labels)} == {"running"}


@pytest.mark.stateful
def test_two_backups_at_once_do_not_meet(started: Project) -> None:
    results = []

    def back_up(name: str) -> None:
        results.append(started.run_apart("stack", "backup", "-o", name).code)

    threads = [threading.Thread(target=back_up, args=(f"{n}.tar.zst",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = [name for name in archives(started) if name.endswith(".tar.zst")]
    assert len(whole) == results.count(0) >= 1
    for name in whole:
        started.done("stack", "restore", "--verify-only", name)


def interrupted(project: Project, number: int) -> None:
    """Start a backup, and send its process a signal while it reads or writes."""
    process: subprocess.Popen[str]
    with project.popen("stack", "backup", "-o", "cut.tar.zst") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "reading volume" in line:
                break
        process.send_signal(number)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode != 0
    assert not Path(project.directory, "cut.tar.zst").exists()
