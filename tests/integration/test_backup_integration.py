"""``dockwright stack backup``: whole archives or none."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests._support.engine.relay import Relay
from tests._support.owned import Owned
from tests._support.project import LIMIT_S, Project, plain_service
from tests.integration.helpers import (
    FOREVER,
    UNITS,
    archives,
    at_engine,
    cut_short,
    data,
    install_and_start,
    put,
    sql,
    states,
    units,
    unprivileged,
    write_tiny,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine

LARGE = "dd if=/dev/urandom of=/data/large bs=1M count=48 2>/dev/null"
"""So large that a backup which has begun to read it is not at its end soon."""


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
def test_the_default_name_contains_project_and_time(app: Project) -> None:
    before = set(archives(app))
    app.done("stack", "backup")
    (made,) = set(archives(app)) - before
    assert made.startswith(app.name)
    assert made.endswith(".tar.zst")


@pytest.mark.stateless
def test_ordinary_tools_open_it(app: Project) -> None:
    app.done("stack", "backup", "-o", "plain.tar.gz")
    with tarfile.open(app.directory / "plain.tar.gz") as tar:
        names = set(tar.getnames())
    parts = {"manifest.json", "manifest.sha256", "compose.yaml", "config.tar"}
    assert names == parts | {f"volumes/{name}.tar" for name in ("rows", "keys", "data")}


@pytest.mark.stateless
def test_its_manifest_has_sizes_and_checksums(app: Project) -> None:
    app.done("stack", "backup", "-o", "printed.tar.gz")
    with tarfile.open(app.directory / "printed.tar.gz") as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        manifest = json.load(stream)
    assert manifest["project"] == app.name
    assert all(each["size"] > 0 and len(each["sha256"]) == 64 for each in manifest["parts"])


@pytest.mark.stateless
def test_json_describes_what_was_written(app: Project) -> None:
    output = json.loads(app.done("stack", "backup", "--json", "-o", "json.tar.zst").out)
    assert output["path"] == str(app.directory / "json.tar.zst")
    assert set(output["running"]) == UNITS
    volumes = [each["volume"] for each in output["parts"] if each["volume"]]
    assert sorted(volumes) == ["data", "keys", "rows"]


@pytest.mark.stateless
def test_the_stack_runs_on_afterwards(app: Project) -> None:
    before = {service: app.container(service) for service in app.running()}
    app.done("stack", "backup", "-o", "runs.tar.zst")
    assert {service: app.container(service) for service in app.running()} == before
    assert (units(app), states(app)) == (UNITS, {"running"})


@pytest.mark.stateless
def test_the_data_is_not_changed_by_it(app: Project) -> None:
    before = data(app)
    app.done("stack", "backup", "-o", "same.tar.zst")
    assert data(app) == before


@pytest.mark.stateless
def test_an_existing_target_is_refused_without_force(app: Project) -> None:
    target = app.directory / "there.tar.zst"
    target.write_text("mine")
    refused = app.run("stack", "backup", "-o", target.name)
    assert refused.code == 2
    assert "--force" in refused.err
    assert target.read_text() == "mine"
    app.done("stack", "backup", "--force", "-o", target.name)


@pytest.mark.stateless
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere/a.tar.zst", "nowhere/a.tar.zst: the parent directory does not exist"),
        ("a.zip", "a.zip: a backup must be a .tar.zst file, a .tar.gz file or a directory"),
    ],
)
def test_an_impossible_target_is_an_error(app: Project, target: str, message: str) -> None:
    refused = app.run("stack", "backup", "-o", target)
    assert refused.code == 2
    assert message in refused.err


@pytest.mark.stateless
def test_a_target_without_permission_is_an_error(app: Project) -> None:
    place = app.directory / "locked"
    place.mkdir(mode=0o500)
    refused = unprivileged(app).run_apart("stack", "backup", "-o", "locked/a.tar.zst")
    assert refused.code == 2
    assert "locked/a.tar.zst: no permission to write there: Permission denied" in refused.err
    assert (list(place.iterdir()), states(app)) == ([], {"running"})


@pytest.mark.stateless
def test_backing_up_a_stack_that_does_not_exist_is_an_error(project: Project) -> None:
    project.write("web: {image: IMAGE}")
    refused = project.run("stack", "backup")
    assert refused.code == 1
    assert f"nothing to back up: stack {project.name} has no" in refused.err
    assert archives(project) == []


@pytest.mark.stateful
def test_a_stopped_stack_is_backed_up_too(tiny: Project) -> None:
    tiny.done("stack", "stop")
    tiny.done("stack", "backup", "-o", "stopped.tar.zst")
    tiny.done("stack", "restore", "--verify-only", "stopped.tar.zst")
    assert tiny.running() == set()


@pytest.mark.stateful
def test_what_a_database_commits_meanwhile_is_whole(changing_app: Project) -> None:
    insert = 'psql -U app -qAtXc "INSERT INTO moments DEFAULT VALUES"'
    sql(changing_app, "DROP TABLE IF EXISTS moments")
    sql(changing_app, "CREATE TABLE moments (number serial PRIMARY KEY)")
    put(changing_app, f"(while {insert}; do :; done) >/dev/null 2>&1 &", "db")
    put(changing_app, LARGE)
    before = int(sql(changing_app, "SELECT count(*) FROM moments"))
    changing_app.done("stack", "backup", "--force", "-o", "busy.tar.zst")
    after = int(sql(changing_app, "SELECT count(*) FROM moments"))
    changing_app.done("stack", "restore", "--force", "busy.tar.zst")
    kept, last = sql(changing_app, "SELECT count(*), max(number) FROM moments").split("|")
    assert before <= int(kept) <= after
    assert kept == last  # no row is missing in between
    assert "alice|" in data(changing_app)[0]
    put(changing_app, "rm /data/large")


@pytest.mark.stateful
def test_a_large_volume_needs_no_memory_and_comes_back(tiny: Project) -> None:
    put(tiny, "dd if=/dev/urandom of=/data/part bs=1M count=16; for i in 1 2 3 4 5 6 7 8 9 10; do"
              " cat /data/part; done >/data/large")  # fmt: skip
    before = put(tiny, "sha256sum /data/large")
    idle = peak_memory(tiny, "stack", "status")
    backed_up = peak_memory(tiny, "stack", "backup", "-o", "large.tar.zst")
    put(tiny, "rm /data/large")
    restored = peak_memory(tiny, "stack", "restore", "--force", "large.tar.zst")
    assert put(tiny, "sha256sum /data/large") == before
    assert max(backed_up, restored) - idle < 64 << 20


def peak_memory(project: Project, *arguments: str) -> int:
    """Run a command that must succeed; return the most memory that its process had, in bytes."""
    with (project.directory / "output").open("w") as output:
        process = project.popen(*arguments, output=output)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (project.directory / "output").read_text()
    return used.ru_maxrss << 10


@pytest.mark.stateful
def test_a_full_disk_is_an_error_and_the_stack_keeps_running(
    tiny: Project, small_disk: Path
) -> None:
    put(tiny, "dd if=/dev/urandom of=/data/large bs=1M count=8")
    failed = tiny.run("stack", "backup", "-o", str(small_disk / "a.tar.zst"))
    assert failed.code == 1
    assert "No space left on device" in failed.err
    assert list(small_disk.iterdir()) == []
    assert states(tiny) == {"running"}


@pytest.mark.stateful
def test_a_warning_lists_external_volumes_that_are_not_in_the_backup(
    owned: Owned, project: Project
) -> None:
    outside = f"{owned.name}-outside"
    project.engine.create_volume(outside, {"Labels": owned.labels})
    volumes = ["volumes: ['data:/data', 'out:/out']"]
    project.write(
        plain_service("web", FOREVER, volumes),
        f"volumes: {{data: {{}}, out: {{external: true, name: {outside}}}}}",
    )
    project.done("stack", "start")
    output = project.done("stack", "backup", "-o", "a.tar.zst")
    assert "volume out is external and not part of the backup" in output.err
    assert "1 volume," in output.err


@pytest.mark.stateful
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_backup_leaves_no_half_archive(
    tiny: Project, number: int, code: int
) -> None:
    put(tiny, LARGE)
    with cut_short(tiny, "reading volume", "stack", "backup", "-o", "cut.tar.zst") as process:
        process.send_signal(number)
    assert process.returncode == code
    assert states(tiny) == {"running"}
    if archives(tiny) != []:  # it was as good as done
        assert archives(tiny) == ["cut.tar.zst"]
        tiny.done("stack", "restore", "--verify-only", "cut.tar.zst")


@pytest.mark.stateful
def test_after_a_killed_backup_the_next_command_tidies_up(changing_app: Project) -> None:
    before = data(changing_app)
    put(changing_app, LARGE)
    command = ("stack", "backup", "-o", "cut.tar.zst")
    with cut_short(changing_app, "reading volume", *command) as process:
        process.kill()
    assert states(changing_app) == {"paused"}
    changing_app.done("stack", "status")
    put(changing_app, "rm /data/large")
    assert (data(changing_app), units(changing_app)) == (before, UNITS)
    assert states(changing_app) == {"running"}
    assert not [name for name in archives(changing_app) if "cut" in name]


@pytest.mark.stateful
def test_losing_the_engine_during_a_backup_is_an_error_and_the_stack_recovers(
    project: Project, relay: Relay
) -> None:
    behind = at_engine(project, relay.url)
    write_tiny(behind)
    install_and_start(behind)
    put(behind, LARGE)
    with cut_short(behind, "reading volume", "stack", "backup", "-o", "cut.tar.zst") as process:
        relay.cut()
    assert process.returncode == 1
    assert archives(behind) == []
    relay.mend()
    behind.done("stack", "backup", "-o", "next.tar.zst", apart=True)
    assert (archives(behind), states(behind)) == (["next.tar.zst"], {"running"})


@pytest.mark.stateful
def test_a_second_backup_at_the_same_time_is_refused(tiny: Project) -> None:
    put(tiny, LARGE)
    with tiny.popen("stack", "backup", "-o", "first.tar.zst") as first:
        assert first.stderr is not None
        assert any("reading volume" in line for line in first.stderr)
        first.send_signal(signal.SIGSTOP)
        second = tiny.run("stack", "backup", "-o", "second.tar.zst")
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=LIMIT_S)
    assert (first.returncode, second.code) == (0, 1)
    assert f"`dockwright stack backup` is running (process {first.pid}, since " in second.err
    assert archives(tiny) == ["first.tar.zst"]
    tiny.done("stack", "restore", "--verify-only", "first.tar.zst")


@pytest.mark.stateful
def test_backups_of_two_stacks_at_once_do_not_meet(app: Project, tiny: Project) -> None:
    put(tiny, LARGE)
    with tiny.popen("stack", "backup", "-o", "a.tar.zst") as other:
        app.done("stack", "backup", "-o", "beside.tar.zst")
        other.communicate(timeout=LIMIT_S)
    assert other.returncode == 0
    for project, name in ((app, "beside.tar.zst"), (tiny, "a.tar.zst")):
        output = json.loads(project.done("stack", "restore", "--verify-only", "--json", name).out)
        assert (output["project"], states(project)) == (project.name, {"running"})
