"""Containers of one class share names in the pool, until a suite makes too many different ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from dockwright.compat.adapter import Adapter
from dockwright.compat.container_spec import ContainerRequest
from dockwright.errors import LeaseError
from dockwright.model import Requirement
from dockwright.pool.lease import Lease, LeaseInfo
from dockwright.pool.session import RunSession
from dockwright.stack.host_ports import PortMode


class Session:
    """Takes note of what is declared and prepared; it has no broker."""

    def __init__(self) -> None:
        self.declared: list[str] = []
        self.prepared: list[Mapping[str, int]] = []

    def declare(self, name: str, options: object, *, seeded: bool) -> None:
        assert not seeded
        self.declared.append(name)

    def prepare(self, demand: Mapping[str, int]) -> None:
        self.prepared.append(demand)

    def attend(self) -> None:
        raise LeaseError("no broker can be started here")


class Host:
    """A test run whose leases are always met."""

    run_id = "run"
    ports: PortMode = "free"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recorded = Session()
        self.session = cast("RunSession", self.recorded)
        self.notes: list[str] = []
        self.asked: list[Requirement] = []

    def holder(self) -> str:
        return "fixture cache"

    def acquire(self, requirement: Requirement) -> Lease:
        self.asked.append(requirement)
        published = {"redis": {"6379/tcp": "127.0.0.1:20001"}}
        info = LeaseInfo("dw-redis-1", requirement.stack, ("redis",), published)
        containers = {"redis": "0123"}
        return Lease(requirement, info, lambda: cast("Any", None), 0.0, containers=containers)

    def release(self, lease: Lease) -> None:
        del lease

    def note(self, text: str) -> None:
        self.notes.append(text)

    def note_declared(self, name: str, file: Path) -> None:
        assert file.exists()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Host(tmp_path)


def redis(**environment: str) -> ContainerRequest:
    return ContainerRequest("redis:7", {"ports": {"6379": None}, "environment": environment})


def test_equal_containers_become_copies_of_one_stack(host: Host) -> None:
    adapter = Adapter(host)
    leases = [adapter.lease(redis(), "RedisContainer") for _ in range(5)]
    assert {(each.id, each.host, each.serves) for each in leases} == {("0123", "127.0.0.1", True)}
    [name] = host.recorded.declared
    assert name.startswith("RedisContainer-")
    assert host.recorded.prepared == [{name: 2}, {name: 4}]
    assert len({each.holder for each in host.asked}) == 5
    assert all(each.exclusive and each.stack == name for each in host.asked)


def test_a_container_that_differs_in_each_test_replaces_the_previous_one(host: Host) -> None:
    adapter = Adapter(host)
    for number in range(9):
        adapter.lease(redis(NUMBER=str(number)), "RedisContainer")
    assert len(set(host.recorded.declared)) == 7
    assert host.recorded.declared[-3:] == ["RedisContainer-other"] * 3


def test_without_a_broker_containers_are_not_labelled_and_the_summary_says_so(host: Host) -> None:
    assert Adapter(host).own_labels("NginxContainer") == {}
    assert host.notes == [
        "nothing removes what a killed run of this suite leaves: no broker can be started here"
    ]
