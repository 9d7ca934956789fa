"""``dockwright stack start``: idempotent, replacing what changed, whole or not at all."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request

import psutil
import pytest

from tests._support.project import LIMIT_S, Project, free_port, plain_service

pytestmark = pytest.mark.engine

FOREVER = "exec tail -f /dev/null"


def shop(web: str = "v1", *, db_ready: bool = True, db_wait: str = "") -> str:
    """Return two services; `db` keeps data, `web` waits for it."""
    touch = "touch /data/ready; " if db_ready else ""
    db = plain_service(
        "db",
        f"date >> /data/starts; {touch}{db_wait}{FOREVER}",
        ["volumes: ['db-data:/data']", "healthcheck: {test: [CMD, test, -e, /data/ready]}"],
    )
    waits = ["depends_on: {db: {condition: service_healthy}}"]
    return f"{db}\n{plain_service('web', f'echo {web}; {FOREVER}', waits)}"


VOLUMES = "volumes: {db-data: {}}"


def starts_of_db(project: Project) -> int:
    """Count the lines that each start of `db` adds to its data."""
    argv = ["wc", "-l", "/data/starts"]
    return int(project.engine.exec(project.container("db"), argv).stdout.split()[0])


def test_start_prints_each_change_and_the_addresses(project: Project) -> None:
    port = free_port()
    web = plain_service("web", "exec httpd -f -p 80 -h /etc", [f"ports: ['127.0.0.1:{port}:80']"])
    project.write(web)
    result = project.done("stack", "start")
    lines = result.err.splitlines()
    assert lines[:3] == [
        "web: creating",
        "web: starting",
        "web: started, waiting until it is ready",
    ]
    assert lines[3].startswith("web: ready after ")
    assert lines[4].startswith(f"{project.name} is ready after ")
    assert result.out.splitlines()[1].split() == ["web", "80/tcp", f"127.0.0.1:{port}"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/passwd", timeout=10) as answer:
        assert answer.status == 200


def test_a_second_start_changes_nothing(project: Project) -> None:
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    before = project.container("db"), project.container("web"), starts_of_db(project)
    result = project.done("stack", "start")
    assert "db: already running" in result.err
    assert "web: already running" in result.err
    assert "creating" not in result.err
    assert (project.container("db"), project.container("web"), starts_of_db(project)) == before


def test_only_a_changed_service_is_replaced_and_data_stays(project: Project) -> None:
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    db, web = project.container("db"), project.container("web")
    project.write(shop(web="v2"), VOLUMES)
    project.done("stack", "start")
    assert project.container("db") == db
    assert project.container("web") != web
    assert project.done("stack", "logs", "web").out == "v2\n"

    project.write(shop(web="v2", db_wait="true; "), VOLUMES)
    project.done("stack", "start")
    assert project.container("db") != db
    assert starts_of_db(project) == 2  # the new container has the old one's volume


def test_a_start_of_one_service_starts_what_it_needs(project: Project) -> None:
    project.write(f"{shop()}\n{plain_service('other', FOREVER)}", VOLUMES)
    project.done("stack", "start", "web")
    assert project.running() == {"db", "web"}


def test_a_failed_start_restores_what_it_replaced(project: Project) -> None:
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    db, web = project.container("db"), project.container("web")
    # Without a health check it would count as ready if it is looked at before it exits.
    never = ["healthcheck: {test: 'false', interval: 1s, retries: 1000}"]
    broken = plain_service("web", "echo out of luck; exit 4", never)
    also_new = plain_service("extra", FOREVER)
    project.write(shop().partition("\nweb:")[0] + f"\n{broken}\n{also_new}", VOLUMES)
    result = project.run("stack", "start")
    assert result.code == 1
    assert "exited with code 4" in result.err
    assert "out of luck" in result.err
    assert (project.container("db"), project.container("web")) == (db, web)
    assert project.running() == {"db", "web"}
    assert not any("extra" in name or "set-aside" in name for name in project.left())
    assert starts_of_db(project) == 1


def test_a_failed_start_keeps_existing_volumes(project: Project) -> None:
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    project.done("stack", "uninstall", "--force")
    project.write(shop(db_wait="exit 5; "), VOLUMES)
    assert project.run("stack", "start").code == 1
    assert project.left() == [f"volume {project.name}_db-data"]


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
)
@pytest.mark.parametrize("moment", ["db: creating", "db: started"])
def test_a_signal_during_a_start_leaves_nothing(
    project: Project, number: signal.Signals, code: int, word: str, moment: str
) -> None:
    project.write(shop(db_ready=False), VOLUMES)
    with project.popen("stack", "start") as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith(moment):
                process.send_signal(number)
                break
        err = process.stderr.read()
        assert process.wait(LIMIT_S) == code
    assert "removing what was started" in err
    assert err.splitlines()[-1] == f"error: {word}"
    assert project.left() == []


def test_a_start_without_a_reader_continues_and_ends_at_a_signal(project: Project) -> None:
    project.write(shop(db_ready=False), VOLUMES)
    with project.popen("stack", "start", "--timeout", "1h") as process:
        assert process.stderr
        assert process.stdout
        next(line for line in process.stderr if line.startswith("db: started"))
        process.stderr.close()
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 143
    assert project.left() == []


def test_a_start_needs_no_reader_of_its_progress(project: Project) -> None:
    project.write(shop(), VOLUMES)
    with project.popen("stack", "start") as process:
        assert process.stderr
        process.stderr.close()
        assert process.wait(LIMIT_S) == 0
    assert project.running() == {"db", "web"}


def test_a_start_after_a_killed_one_begins_from_the_old_state(project: Project) -> None:
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    web = project.container("web")
    project.write(shop(web="v2", db_ready=False, db_wait="rm -f /data/ready; "), VOLUMES)
    with project.popen("stack", "start") as process:
        assert process.stderr
        next(line for line in process.stderr if line.startswith("db: started"))
        process.kill()
    assert any("set-aside" in name for name in project.left())
    project.write(shop(), VOLUMES)
    project.done("stack", "start")
    assert project.container("web") == web
    assert project.running() == {"db", "web"}
    assert not any("set-aside" in name for name in project.left())


def test_a_restarted_dependency_restarts_its_dependents(project: Project) -> None:
    def services(text: str) -> str:
        waits = ["depends_on: {db: {condition: service_started, restart: true}}"]
        db = plain_service("db", f"echo {text}; {FOREVER}")
        return f"{db}\n{plain_service('web', f'echo web; {FOREVER}', waits)}"

    project.write(services("one"))
    project.done("stack", "start")
    web = project.container("web")
    project.write(services("two"))
    project.done("stack", "start")
    assert project.container("web") == web
    assert project.done("stack", "logs", "web").out == "web\nweb\n"


def write_with_process(project: Project, text: str, *, more: str = "") -> None:
    """Write a project with a native process that runs for ever."""
    script = f"import signal; print('{text} at', '{{web.host}}', flush=True); signal.pause()"
    processes = {
        "job": {
            "command": [sys.executable, "-c", script],
            "depends_on": ["web"],
            "ready": {"log": "at"},
        },
        **({more: {"command": ["gone-command"], "depends_on": ["job"]}} if more else {}),
    }
    rest = f"x-dockwright: {json.dumps({'processes': processes})}"
    project.write(plain_service("web", FOREVER), rest)


def pid_of_job(project: Project) -> int:
    """Return the process id that `status` tells."""
    services = json.loads(project.done("stack", "status", "--json").out)["services"]
    (job,) = (each for each in services if each["name"] == "job")
    assert job["state"] == "running"
    return int(job["pid"])


def test_a_native_process_outlives_the_command(project: Project) -> None:
    write_with_process(project, "one")
    project.done("stack", "start", apart=True)
    pid = pid_of_job(project)
    assert psutil.Process(pid).cmdline()[0] == sys.executable
    assert "job: already running" in project.done("stack", "start", apart=True).err
    assert pid_of_job(project) == pid
    assert project.done("stack", "logs", "job").out.startswith("one at ")

    write_with_process(project, "two")
    project.done("stack", "start", apart=True)
    assert pid_of_job(project) != pid
    assert "two at " in project.done("stack", "logs", "job").out

    project.done("stack", "stop")
    assert not any(name.startswith("process") for name in project.left())
    project.done("stack", "start", apart=True)
    project.done("stack", "uninstall", "--force")
    assert project.left() == []


def test_a_failed_start_ends_its_native_process(project: Project) -> None:
    write_with_process(project, "one", more="late")
    result = project.run_apart("stack", "start")
    assert result.code == 1
    assert "job: starting" in result.err
    assert "process late: cannot start 'gone-command'" in result.err
    assert project.left() == []
