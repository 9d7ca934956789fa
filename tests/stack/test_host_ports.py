"""A copy's host ports are chosen once and stay; or they are those that the file declares."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dockwright.errors import PortInUseError
from dockwright.model import Port
from dockwright.stack.host_ports import FreePorts, HostPorts, PortMode, is_taken
from dockwright.stack.stack import Stack
from tests._support.project import free_port
from tests.stack.conftest import StackMaker

SERVER = (
    "image: IMAGE, "
    "command: [sh, -c, 'trap \"exit 3\" TERM; httpd -p 80 -h /; while :; do sleep 0.1; done']"
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this host on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_is_taken_while_something_listens(taken: int) -> None:
    assert is_taken(taken)
    assert not is_taken(free_port())


def test_ports_are_chosen_once_and_never_twice() -> None:
    free = FreePorts()
    first, second = (HostPorts("free", free, local=True) for _ in range(2))
    ports = [Port(80, published="8080"), Port(53, "udp")]
    bindings = first.of("web", ports)
    assert bindings == first.of("web", ports)
    numbers = [
        binding["HostPort"]
        for each in (bindings, second.of("web", ports))
        for [binding] in each.values()
    ]
    assert len({*numbers}) == 4
    assert all(20_000 <= int(number) < 30_000 for number in numbers)


def test_declared_ports_stay_where_they_must_and_move_where_they_may() -> None:
    ports = [Port(80, published="8080"), Port(80, published="8081", host_ip="0.0.0.0"), Port(90)]
    declared = HostPorts("declared", FreePorts(), local=True)
    bindings = declared.of("web", ports)
    assert bindings["80/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": "8080"},
        {"HostIp": "0.0.0.0", "HostPort": "8081"},
    ]
    assert len(bindings["90/tcp"]) == 1
    assert not declared.move("web", ports)
    preferred = HostPorts("preferred", FreePorts(), local=True)
    assert preferred.of("web", ports)["80/tcp"] == bindings["80/tcp"]
    assert preferred.move("web", ports)
    assert preferred.of("web", ports)["80/tcp"][0]["HostPort"] not in ("8080", "8081")


def published(stack: Stack, service: str) -> dict[str, str]:
    """Return what the engine itself says, without what was looked up before."""
    stack.addresses.forget(service)
    return dict(stack.addresses.published(service))


class Clashing(FreePorts):
    """Chooses a port that is taken, and then free ones."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self._first = [str(taken)]

    def choose(self, protocol: str, *, local: bool) -> str:
        return self._first.pop() if self._first else super().choose(protocol, local=local)


def with_options(stack: Stack, **changes: Any) -> Stack:
    """Return the same copy with other options."""
    options = replace(stack.options, **changes)
    return Stack(stack.spec, stack.engine, stack.identity, options)


@pytest.mark.engine
def test_a_port_survives_restart_stop_kill_crash_and_recreation(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"services: {{web: {{{SERVER}, ports: ['80', '53/udp'], restart: on-failure}}}}"
    )
    stack.start()
    before = published(stack, "web")
    assert sorted(before) == ["53/udp", "80/tcp"]
    stack.restart(["web"])
    assert published(stack, "web") == before
    stack.kill(["web"])
    stack.start(["web"])
    assert published(stack, "web") == before
    stack.recreate(["web"])
    assert published(stack, "web") == before
    stack.exec("web", ["kill", "1"])
    while stack.engine.inspect_container(stack.container("web"))["RestartCount"] == 0:
        time.sleep(0.05)  # the engine starts it again
    stack.await_ready("web")
    assert published(stack, "web") == before


@pytest.mark.engine
def test_a_new_container_gets_another_port_if_its_own_is_taken(
    make_stack: StackMaker, taken: int
) -> None:
    text = f"""
services:
  web: {{{SERVER}, ports: ['80']}}
  guest: {{image: IMAGE, command: [sleep, '600'], network_mode: 'service:web'}}
"""
    stack = with_options(make_stack(text), free_ports=Clashing(taken))
    stack.start()
    assert published(stack, "web")["80/tcp"] != f"127.0.0.1:{taken}"
    found = stack.exec("guest", ["wget", "-qO-", "http://127.0.0.1/etc/hostname"])
    assert found.exit_code == 0


@pytest.mark.engine
@pytest.mark.parametrize("mode", ["declared", "preferred"])
def test_a_copy_has_the_declared_port(make_stack: StackMaker, mode: PortMode) -> None:
    port = free_port()
    text = f"services: {{web: {{{SERVER}, ports: ['{port}:80']}}}}"
    first, second = (with_options(make_stack(text), ports=mode) for _ in range(2))
    first.start()
    assert published(first, "web") == {"80/tcp": f"127.0.0.1:{port}"}
    if mode == "declared":
        with pytest.raises(PortInUseError, match=rf"service web: .*{port}"):
            second.start()
    else:
        second.start()
        assert published(second, "web") != published(first, "web")
