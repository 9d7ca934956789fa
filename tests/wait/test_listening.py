"""Services without a health check: ready once they listen where their file says, with patience."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from dockwright.engine import Engine
from dockwright.errors import UsageError, WaitFailedError, WaitTimeoutError
from dockwright.wait import (
    ContainerTarget,
    Healthy,
    Listening,
    SilentPorts,
    Target,
    listening,
    wait_for,
)
from tests._support.owned import Owned

pytestmark = pytest.mark.engine

PORT = 8000
LATE = f"sleep 0.7; touch /late; exec httpd -f -p {PORT} -h /"
LONG_S = 30.0

Run = Callable[[str], ContainerTarget]


@pytest.fixture
def run(engine: Engine, owned: Owned, scratch: str) -> Run:
    """Start a container with a script; its port is published."""

    def start(script: str) -> ContainerTarget:
        container = owned.run(
            scratch,
            *("sh", "-c", script),
            ExposedPorts={f"{PORT}/tcp": {}},
            HostConfig={
                "Init": True,
                "PortBindings": {f"{PORT}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            },
        )
        return ContainerTarget(engine, container, name="web")

    return start


def is_late(target: ContainerTarget) -> bool:
    result = target.run(["ls", "/late"], timeout_s=LONG_S)
    return result is not None and result.exit_code == 0


@pytest.mark.parametrize("sees_processes", [True, False])
def test_a_service_is_ready_once_it_listens(
    run: Run, monkeypatch: pytest.MonkeyPatch, sees_processes: bool
) -> None:
    if not sees_processes:  # as with an engine on another system
        monkeypatch.setattr(listening, "listened_ports", lambda *_: None)
    target = run(LATE)
    wait_for(target, Listening((PORT,), patience_s=LONG_S), timeout_s=LONG_S)
    assert is_late(target)
    address = target.address(PORT)
    with socket.create_connection((address.host, address.port), 5) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(4) == b"HTTP"


def test_a_server_for_a_single_client_is_not_probed(run: Run, engine: Engine) -> None:
    target = run(f"echo hello | nc -l -p {PORT}")
    pid = engine.inspect_container(target.container_id)["State"]["Pid"]
    if listening.listened_ports(pid, target.container_id) is None:
        pytest.skip("this host does not see the container's processes")
    wait_for(target, Listening((PORT,), patience_s=LONG_S), timeout_s=LONG_S)
    address = target.address(PORT)
    with socket.create_connection((address.host, address.port), 5) as connection:
        assert connection.recv(5) == b"hello"


def test_listening_on_loopback_only_does_not_count(run: Run) -> None:
    target = run(f"exec httpd -f -p 127.0.0.1:{PORT} -h /")
    with pytest.raises(WaitTimeoutError, match="nothing listens on port 8000 yet"):
        wait_for(target, Listening((PORT,), patience_s=LONG_S), timeout_s=0.7)


def test_each_service_times_out_once(run: Run) -> None:
    told: list[tuple[str, tuple[int, ...]]] = []
    silent = SilentPorts(lambda service, ports: told.append((service, ports)))
    target = run(LATE)
    wanted = Listening((PORT, 9229), silent, patience_s=1.5)
    assert wait_for(target, wanted, timeout_s=LONG_S).elapsed_s >= 1.5
    assert told == [("web", (9229,))]
    assert is_late(target)
    again = Listening((PORT, 9229), silent, patience_s=LONG_S)
    assert wait_for(target, again, timeout_s=LONG_S).elapsed_s < 5
    assert len(told) == 1


def test_without_ports_a_running_service_is_ready(run: Run) -> None:
    wait_for(run("exec sleep 600"), Healthy(otherwise=Listening(())), timeout_s=LONG_S)


def test_an_exit_ends_the_wait(run: Run) -> None:
    with pytest.raises(WaitFailedError, match=r"to listen on port 8000.*exited with code 3"):
        wait_for(run("sleep 0.3; exit 3"), Listening((PORT,)), timeout_s=LONG_S)


def test_listening_is_only_for_containers() -> None:
    with pytest.raises(UsageError, match="cannot wait for this host to listen on port 8000"):
        wait_for(Target(), Listening((PORT,)), timeout_s=1)


def test_a_silent_port_is_a_warning_by_default(caplog: pytest.LogCaptureFixture) -> None:
    SilentPorts().add("web", [9229, 5678])
    assert "web does not listen on port 5678 and 9229, which it declares" in caplog.text
