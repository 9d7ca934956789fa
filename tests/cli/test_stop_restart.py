"""``dockwright stack stop`` and ``restart``."""

from __future__ import annotations

import signal
import time

import pytest

from tests._support.project import LIMIT_S, Project, plain_service

pytestmark = pytest.mark.engine

TWO = (
    plain_service("db", "echo db; exec tail -f /dev/null")
    + "\n"
    + plain_service("web", "echo web; exec tail -f /dev/null", ["depends_on: [db]"])
)


def test_stop_keeps_containers_and_lists_what_it_stops(project: Project) -> None:
    project.write(TWO)
    project.done("stack", "start")
    web = project.container("web")
    assert project.done("stack", "stop", "web").err == "stopping web ...\nstopped\n"
    assert project.running() == {"db"}
    assert project.done("stack", "stop").err == "stopping db ...\nstopped\n"
    assert project.running() == set()
    assert project.container("web") == web
    result = project.done("stack", "stop")
    assert result.err == f"nothing to stop: {project.name} is not running\n"
    project.done("stack", "start")
    assert project.container("web") == web


def test_stop_sends_the_declared_signal(project: Project) -> None:
    script = 'trap "echo bye; exit 0" USR1; echo up; while :; do tail -f /dev/null & wait $!; done'
    project.write(plain_service("web", script).replace("SIGKILL", "SIGUSR1"))
    project.done("stack", "start")
    began = time.monotonic()
    project.done("stack", "stop")
    assert time.monotonic() - began < 8  # not the grace of 10 s
    assert project.done("stack", "logs").out == "up\nbye\n"


def test_restart_starts_the_same_container_again(project: Project) -> None:
    project.write(TWO)
    project.done("stack", "start")
    web = project.container("web")
    result = project.done("stack", "restart", "web")
    assert result.err.startswith("restarting web ...\nweb: starting\n")
    assert "db" not in result.err
    assert project.container("web") == web
    assert project.done("stack", "logs", "web").out == "web\nweb\n"
    project.done("stack", "restart")
    assert project.done("stack", "logs", "db").out == "db\ndb\n"


def test_an_interrupted_restart_ends_at_once(project: Project) -> None:
    script = "test -e /was || touch /was /ok; exec tail -f /dev/null"
    project.write(plain_service("web", script, ["healthcheck: {test: [CMD, test, -e, /ok]}"]))
    project.done("stack", "start")
    project.engine.exec(project.container("web"), ["rm", "/ok"])
    with project.popen("stack", "restart") as process:
        assert process.stderr
        next(line for line in process.stderr if line.startswith("web: started"))
        process.send_signal(signal.SIGINT)
        err = process.stderr.read()
        assert process.wait(LIMIT_S) == 130
    assert err.endswith("error: interrupted\n")
    assert len(project.left()) == 2  # its container and network are not the restart's to remove
