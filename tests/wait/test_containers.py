"""Containers: running, exited, restarted, removed; their logs and addresses; dead ones are told."""

from __future__ import annotations

import threading
import uuid
from types import SimpleNamespace

import pytest

from dockwright.engine import Engine
from dockwright.errors import (
    NoSuchObjectError,
    UsageError,
    WaitFailedError,
    WaitTimeoutError,
)
from dockwright.wait import (
    Cadence,
    ContainerTarget,
    Exec,
    Exited,
    Http,
    Log,
    Running,
    Tcp,
    WaitOptions,
    all_of,
    poll_for_container_stop,
    poll_for_service_health,
    wait_for,
)
from dockwright.wait.strategy import WaitCondition
from tests._support.owned import Owned

pytestmark = pytest.mark.engine

EVENTS_ONLY = WaitOptions(cadence=Cadence(first_s=30, ceiling_s=30))
LONG_S = 30.0


class Room:
    """Makes targets for shell scripts run in containers."""

    def __init__(self, engine: Engine, owned: Owned, image: str) -> None:
        self.engine = engine
        self._owned = owned
        self._image = image

    def run(self, script: str, **config: object) -> ContainerTarget:
        target = self.create(script, **config)
        self.engine.start_container(target.container_id)
        return target

    def create(self, script: str, **config: object) -> ContainerTarget:
        host = {"NetworkMode": "none", "Init": True}
        body = {"HostConfig": host} | config
        container = self._owned.create(self._image, "sh", "-c", script, **body)  # type: ignore[arg-type]  # JSON
        return ContainerTarget(self.engine, container, name="db")


@pytest.fixture
def room(engine: Engine, owned: Owned, scratch: str) -> Room:
    return Room(engine, owned, scratch)


@pytest.mark.parametrize(
    "strategy",
    [Exec("test -f /tmp/ready"), Log("ready"), Tcp(80, host="127.0.0.9"), Running()],
    ids=str,
)
def test_a_container_that_exits_fails_the_wait_at_once_with_code_and_log(
    room: Room, strategy: WaitCondition
) -> None:
    target = room.run("echo starting; echo no config >&2; exit 3")
    wait_for(target, Exited(3), timeout_s=LONG_S)
    with pytest.raises(WaitFailedError) as caught:
        wait_for(target, strategy, timeout_s=LONG_S)
    head, heading, *lines = caught.value.message.splitlines()
    assert head.startswith(f"stopped waiting for db {strategy} after ")
    assert head.endswith(": it exited with code 3")
    assert heading == "  last log lines:"
    assert sorted(lines) == ["    no config", "    starting"]  # two streams: no common order
    assert caught.value.elapsed_s < 5


def test_an_exit_during_the_wait_is_noticed_by_its_event(room: Room) -> None:
    target = room.run("sleep 0.3; exit 4")
    with pytest.raises(WaitFailedError, match="it exited with code 4\n  it logged nothing"):
        wait_for(target, Log("ready"), timeout_s=LONG_S, options=EVENTS_ONLY)


def test_a_timeout_shows_state_and_last_log_lines(room: Room) -> None:
    target = room.run("echo warming up; sleep 600")
    wait_for(target, Log("warming"), timeout_s=LONG_S)
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(target, Exec("echo not yet; exit 1"), timeout_s=0.5)
    head, *rest = caught.value.message.splitlines()
    assert head.startswith("waited 5")
    assert head.endswith("exit code 1: not yet")
    assert rest == [
        f"  container {target.container_id[:12]} is running",
        "  last log lines:",
        "    warming up",
    ]


def test_a_line_that_is_the_last_before_an_exit_is_found(room: Room) -> None:
    target = room.run("echo migrated")
    assert wait_for(target, Log("migrated"), timeout_s=LONG_S).value == "migrated"


def test_lines_are_counted_in_the_chosen_stream(room: Room) -> None:
    target = room.run("echo tick; echo tick >&2; echo tick again >&2; sleep 600")
    report = wait_for(target, Log("^tick", times=2, stream="stderr"), timeout_s=LONG_S)
    assert report.value == "tick again"
    with pytest.raises(WaitTimeoutError, match="1 of 2 lines matched, the last is 'tick'"):
        wait_for(target, Log("^tick", times=2, stream="stdout"), timeout_s=0.5)


def test_only_lines_since_the_last_start_count(room: Room) -> None:
    target = room.run("echo ready; sleep 600")
    wait_for(target, Log("ready"), timeout_s=LONG_S)
    room.engine.restart_container(target.container_id, 0)
    wait_for(target, Log("ready"), timeout_s=LONG_S)
    with pytest.raises(WaitTimeoutError, match="1 of 2 lines matched"):
        wait_for(target, Log("ready", times=2), timeout_s=0.5)


def test_a_container_that_is_started_during_the_wait_is_awaited(room: Room) -> None:
    target = room.create("echo ready; sleep 600")
    threading.Timer(0.2, room.engine.start_container, [target.container_id]).start()
    everything = all_of(Running(), Log("ready"), Exec("true"))
    wait_for(target, everything, timeout_s=LONG_S)


def test_a_container_that_is_restarted_by_its_policy_has_not_exited(room: Room) -> None:
    # Crashes twice until "its database is there": the counter outlives the restarts.
    script = "echo x >> /tmp/n; test $(wc -l < /tmp/n) -gt 2 || exit 1; echo ready; sleep 600"
    target = room.run(
        script, HostConfig={"RestartPolicy": {"Name": "on-failure"}, "NetworkMode": "none"}
    )
    wait_for(target, Log("ready"), timeout_s=LONG_S)
    assert room.engine.inspect_container(target.container_id)["RestartCount"] == 2


def test_a_container_that_gives_up_restarting_has_exited(room: Room) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 1}
    target = room.run("exit 5", HostConfig={"RestartPolicy": policy, "NetworkMode": "none"})
    assert wait_for(target, Exited(5), timeout_s=LONG_S).value == 5


def test_an_unwanted_exit_code_is_a_failure(room: Room) -> None:
    target = room.run("echo oops; exit 9")
    with pytest.raises(WaitFailedError) as caught:
        wait_for(target, Exited(0), timeout_s=LONG_S)
    assert caught.value.message.startswith("stopped waiting for db to exit with code 0 after ")
    assert caught.value.message.endswith(": it exited with code 9\n  last log lines:\n    oops")


def test_an_exit_is_noticed_by_its_event_also_when_it_removes_the_container(room: Room) -> None:
    host = {"AutoRemove": True, "NetworkMode": "none"}
    target = room.run("sleep 0.3; exit 6", HostConfig=host)
    report = wait_for(target, Exited(6), timeout_s=LONG_S, options=EVENTS_ONLY)
    assert report.value == 6


def test_a_container_that_is_removed_during_the_wait_is_reported(room: Room) -> None:
    target = room.run("sleep 600")
    threading.Timer(0.2, room.engine.remove_container, [target.container_id]).start()
    with pytest.raises(WaitFailedError, match=r"it (exited with code 137|was removed)"):
        wait_for(target, Log("never"), timeout_s=LONG_S)


def test_a_container_that_never_existed_is_an_error(engine: Engine) -> None:
    target = ContainerTarget(engine, f"dwtest-{uuid.uuid4().hex}")
    for strategy in (Running(), Exited(), Log("x"), Exec("true")):
        with pytest.raises(NoSuchObjectError, match="dwtest-"):
            wait_for(target, strategy, timeout_s=5)


def test_a_published_port_is_reached_where_the_engine_put_it(room: Room, owned: Owned) -> None:
    network = room.engine.create_network(owned.name, {"Labels": owned.labels})
    target = room.run(
        "echo hello > /tmp/index.html; sleep 0.3; httpd -f -p 8000 -h /tmp",
        ExposedPorts={"8000/tcp": {}},
        HostConfig={
            "NetworkMode": network,
            "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1"}]},
        },
    )
    # The engine's proxy accepts at once; the server comes later.
    report = wait_for(target, Tcp(8000), timeout_s=LONG_S)
    assert report.elapsed_s > 0.1
    assert wait_for(target, Http("/index.html", port=8000, answer="hello")).value == 200
    with pytest.raises(UsageError, match="port 9000 of db is not published\n  hint: publish it"):
        wait_for(target, Tcp(9000), timeout_s=LONG_S)


def test_a_port_of_a_container_that_is_not_started_yet_is_awaited(room: Room) -> None:
    target = room.create("sleep 600")
    with pytest.raises(WaitTimeoutError, match="last seen: db is created"):
        wait_for(target, Http("/", port=8000), timeout_s=0.3)


def test_stopped_containers_are_found_by_id_name_and_object(room: Room) -> None:
    target = room.run("sleep 600")
    document = room.engine.inspect_container(target.container_id)
    names = (target.container_id, document["Name"], SimpleNamespace(id=target.container_id))
    for each in names:
        assert not poll_for_container_stop(each, 0.1, engine=room.engine)
    threading.Timer(0.1, room.engine.kill_container, [target.container_id]).start()
    assert poll_for_container_stop(names[1], LONG_S, engine=room.engine)
    for each in names:
        assert poll_for_container_stop(each, 0)  # the default engine is this one
    room.engine.remove_container(target.container_id)
    assert poll_for_container_stop(target.container_id, 0, engine=room.engine)


def test_a_container_without_a_health_check_is_healthy_while_it_runs(room: Room) -> None:
    target = room.run("sleep 600")
    assert poll_for_service_health(target, LONG_S)
    assert poll_for_service_health(target.container_id, LONG_S, engine=room.engine)
    room.engine.kill_container(target.container_id)
    assert not poll_for_service_health(target, LONG_S)


@pytest.mark.parametrize(
    ("container", "error", "message"),
    [
        (7, TypeError, "a container is an id, a name or an object with an `id`, not int"),
        (None, TypeError, "not NoneType"),
        ("", ValueError, "'' is not a container's id or name"),
        ("a/b", ValueError, "'a/b' is not a container's id or name"),
    ],
)
def test_an_object_that_is_not_a_container_is_refused(
    container: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        poll_for_container_stop(container, timeout=0)  # type: ignore[arg-type]  # meant
    with pytest.raises(error, match=message):
        poll_for_service_health(container, timeout=0)  # type: ignore[arg-type]  # meant


def test_a_wait_leaves_nothing(room: Room) -> None:
    target = room.run("echo ready; sleep 600")
    wait_for(target, Log("ready"), timeout_s=LONG_S)  # the hub's own thread stays, from now on
    before = threading.active_count()
    for _ in range(3):
        wait_for(target, all_of(Running(), Log("ready")), timeout_s=LONG_S)
    for thread in threading.enumerate():
        if thread.name == "dockwright-log":
            thread.join(5)
    assert threading.active_count() == before
