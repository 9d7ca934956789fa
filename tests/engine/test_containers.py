"""Containers on the real engine: their life, and what is refused."""

from __future__ import annotations

import os
import threading
import time
from functools import partial

import pytest

from dockwright.engine import Engine, parallel
from dockwright.engine.containers import usual_status
from dockwright.engine.inside import DataDirectory, HostInside, received
from dockwright.errors import (
    ConflictError,
    EngineError,
    ImageMissingError,
    NoSuchObjectError,
    PortInUseError,
)
from dockwright.model import Json
from tests._support.owned import Owned

pytestmark = pytest.mark.engine


def state(engine: Engine, container: str) -> str:
    return str(engine.inspect_container(container)["State"]["Status"])


@pytest.mark.parametrize("pause", [False, True])
def test_removal_does_not_wait_for_the_stop_grace(
    engine: Engine, owned: Owned, scratch: str, pause: bool
) -> None:
    container = owned.run(
        scratch, "sh", "-c", "trap '' TERM; while :; do sleep 1; done", StopTimeout=600
    )
    if pause:
        engine.pause_container(container)
    engine.remove_container(container)  # a wait for the grace would end with the call's timeout
    with pytest.raises(NoSuchObjectError):
        engine.inspect_container(container)


def test_containers_that_share_a_namespace_are_removed_together(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    owner = owned.run(scratch, "sleep", "600")
    host: dict[str, Json] = {"NetworkMode": f"container:{owner}"}
    guest = owned.run(scratch, "sleep", "600", HostConfig=host)
    parallel.run([partial(engine.remove_container, each) for each in (owner, guest)])
    assert owned.left() == []


def test_the_life_of_a_container(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.create(scratch, "sleep", "600")
    assert state(engine, container) == "created"
    engine.start_container(container)
    engine.start_container(container)  # runs already: fine
    assert state(engine, container) == "running"
    engine.pause_container(container)
    assert state(engine, container) == "paused"
    engine.unpause_container(container)
    engine.restart_container(container, grace_s=0)
    assert state(engine, container) == "running"
    engine.kill_container(container)
    with engine.events.subscribe(container=container, actions=("die",)) as events:
        while state(engine, container) == "running":
            events.get(1)
    engine.kill_container(container)  # does not run: fine
    assert state(engine, container) == "exited"
    engine.rename_container(container, f"{owned.name}-renamed")
    assert engine.inspect_container(f"{owned.name}-renamed")["Id"] == container


def test_a_stop_gives_the_requested_grace(engine: Engine, owned: Owned, scratch: str) -> None:
    deaf = owned.run(scratch, "sh", "-c", "trap '' TERM; while :; do sleep 60; done")
    began = time.monotonic()
    engine.stop_container(deaf, grace_s=1)
    assert 0.9 < time.monotonic() - began < 8
    assert engine.inspect_container(deaf)["State"]["ExitCode"] == 137


def test_each_of_several_removals_returns_once_the_container_is_gone(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    container = owned.run(scratch, "sleep", "600")

    def remove() -> None:
        engine.remove_container(container)
        with pytest.raises(NoSuchObjectError):
            engine.inspect_container(container)

    parallel.run([remove] * 6)
    engine.remove_container(container)
    with pytest.raises(NoSuchObjectError) as caught:
        engine.inspect_container(container)
    assert caught.value.message.startswith(f"cannot inspect container {container}: ")
    assert caught.value.hint == "it was removed, or never existed"
    assert owned.left() == []


def test_anonymous_volumes_go_with_their_container_named_ones_stay(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    engine.create_volume(owned.name, {"Labels": owned.labels})
    container = owned.create(
        scratch,
        "true",
        Volumes={"/anonymous": {}},
        HostConfig={"Binds": [f"{owned.name}:/named"]},
    )
    mounts = engine.inspect_container(container)["Mounts"]
    anonymous = next(each["Name"] for each in mounts if each["Destination"] == "/anonymous")
    engine.remove_container(container)
    with pytest.raises(NoSuchObjectError):
        engine.inspect_volume(anonymous)
    assert owned.left() == [f"volume {owned.name}"]


def test_listing_is_one_call_and_filters_by_labels(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    running = owned.run(scratch, "sleep", "600")
    created = owned.create(scratch, "true")
    before = engine.statistics().calls
    found = engine.list_containers(owned.labels)
    assert engine.statistics().calls == before + 1
    assert {each["Id"] for each in found} == {running, created}
    assert [each["Id"] for each in engine.list_containers(owned.labels, all=False)] == [running]
    assert engine.list_containers({**owned.labels, "another": None}) == []
    assert engine.list_containers({"dockwright-test": "another"}) == []


def test_processes_and_one_sample_of_usage(engine: Engine, owned: Owned, scratch: str) -> None:
    container = owned.run(scratch, "sleep", "601")
    assert any("sleep 601" in " ".join(row) for row in engine.top(container)["Processes"])
    began = time.monotonic()
    sample = engine.stats(container)
    assert time.monotonic() - began < 1.6  # the second sample would come after another second
    assert sample["memory_stats"]["usage"] > 0
    assert sample["cpu_stats"]["cpu_usage"]["total_usage"] > 0


def test_a_missing_image_is_named(engine: Engine, owned: Owned) -> None:
    with pytest.raises(ImageMissingError) as caught:
        owned.create("dockwright-test/no-such-image:7", "true")
    assert "image dockwright-test/no-such-image:7 is not on the engine" in caught.value.message
    assert caught.value.message.startswith(f"cannot create container {owned.name}-")
    assert "docker pull dockwright-test/no-such-image:7" in str(caught.value.hint)


def test_a_name_that_is_taken(engine: Engine, owned: Owned, scratch: str) -> None:
    body: dict[str, Json] = {"Image": scratch, "Cmd": ["true"], "Labels": owned.labels}
    engine.create_container(owned.name, body)
    with pytest.raises(ConflictError, match="already in use by") as caught:
        engine.create_container(owned.name, body)
    assert "choose another name" in str(caught.value.hint)


def test_a_host_port_that_another_container_has(engine: Engine, owned: Owned, scratch: str) -> None:
    def publish(host_port: str) -> str:
        return owned.create(
            scratch,
            "sleep",
            "600",
            ExposedPorts={"80/tcp": {}},
            HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": host_port}]}},
        )

    first = publish("")
    engine.start_container(first)
    ports = engine.inspect_container(first)["NetworkSettings"]["Ports"]
    taken = ports["80/tcp"][0]["HostPort"]
    second = publish(taken)
    with pytest.raises(PortInUseError) as caught:
        engine.start_container(second)
    said = f"cannot start container {second[:12]}: host port {taken} is"
    assert caught.value.message.startswith(said)
    assert "`ss -ltnp`" in str(caught.value.hint)


def test_a_host_port_that_a_process_has(engine: Engine, owned: Owned, scratch: str) -> None:
    import socket

    if not engine.endpoint.is_local:
        pytest.skip("the engine publishes on another host")
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = str(server.getsockname()[1])
        container = owned.create(
            scratch,
            "sleep",
            "600",
            ExposedPorts={"80/tcp": {}},
            HostConfig={"PortBindings": {"80/tcp": [{"HostPort": port}]}},
        )
        with pytest.raises(PortInUseError, match=f"host port {port} is in use"):
            engine.start_container(container)


def test_a_missing_command_is_reported(engine: Engine, owned: Owned, scratch: str) -> None:
    with pytest.raises(
        EngineError, match=r"cannot start container .*executable file not found"
    ) as e:
        owned.run(scratch, "no-such-command")
    assert "check the command" in str(e.value)


def test_sixteen_starts_at_once(engine: Engine, owned: Owned, scratch: str) -> None:
    containers = parallel.run([lambda: owned.create(scratch, "sleep", "600")] * 16)
    parallel.run([partial(engine.start_container, each) for each in containers])
    assert len(engine.list_containers(owned.labels, all=False)) == 16
    parallel.run([partial(engine.remove_container, each) for each in containers])
    assert owned.left() == []


def test_a_container_that_is_held_still_is_not_inspected(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    container = owned.run(scratch, "sleep", "600")
    begun, inspected = threading.Event(), threading.Event()

    def inspect() -> None:
        begun.set()
        engine.inspect_container(container)
        inspected.set()

    thread = threading.Thread(target=inspect)
    with engine.paused(container):
        assert engine.list_containers(owned.labels)[0]["State"] == "paused"
        thread.start()
        begun.wait(10)
        assert not inspected.wait(0.2)
    assert inspected.wait(10)
    thread.join()
    assert engine.inspect_container(container)["State"]["Paused"] is False
    engine.unpause_container(container)  # is fine where nothing is paused


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to look into a container")
def test_the_layers_of_a_container_are_those_of_its_mount(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    container = owned.run(scratch, "sleep", "600")
    engine.exec(container, ["touch", "/made"])
    details = engine.inspect_container(container)
    details["GraphDriver"] = {"Name": "overlayfs", "Data": None}  # as the containerd store says
    inside = engine.inside(details)
    assert isinstance(inside, HostInside)
    assert "/made" in inside.files(DataDirectory())


@pytest.mark.parametrize(
    ("status", "usual"), [("stopped", "exited"), ("configured", "created"), ("paused", "paused")]
)
def test_a_status_is_called_as_docker_calls_it(status: str, usual: str) -> None:
    assert usual_status(status) == usual


def test_bytes_that_a_container_received_are_counted(
    engine: Engine, owned: Owned, scratch: str
) -> None:
    container = owned.run(scratch, "httpd", "-f", "-p", "8000")
    details = engine.inspect_container(container)
    before = received(details)
    if before is None:
        pytest.skip("this host does not see the container's processes")
    engine.exec(container, ["true"])
    assert received(details) == before
    asked = ["wget", "-q", "-O-", "http://127.0.0.1:8000/"]
    assert engine.exec(container, asked).exit_code  # it has no such file, but it was asked
    now = received(details)
    assert now is not None
    assert now[0] > before[0]
    assert received({**details, "State": {"Pid": 0}}) is None
