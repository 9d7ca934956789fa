"""What servers write by themselves is left alone; what a test puts beside it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.engine.inside import Process
from dockwright.stack import Baseline, Stack
from dockwright.stack.surroundings import _settled
from dockwright.wait import Continue, Ready, until
from tests._support.owned import Owned
from tests.stack.conftest import StackMaker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CACHE = """
services:
  cache:
    image: redis:7
    healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}
"""
CHECKED = """
services:
  cache:
    image: redis:7
    healthcheck: {test: [CMD, /check, now], interval: 10ms}
    configs: [{source: check, target: /check, mode: 0555}]
configs:
  check: {content: "#!/bin/sh\\nsleep 0.5\\nexec redis-cli ping"}
"""
PUBLISHED = """
services:
  cache:
    image: redis:7
    ports: ["6379"]
    extra_hosts: ["elsewhere:10.9.9.9"]
    healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}
  web:
    image: busybox:1
    command: [httpd, -f, -p, '80']
    stop_grace_period: 0s
    ports: ["80"]
    tmpfs: [/run]
    x-dockwright: {reset: none}
"""
MARIADB = """
services:
  db:
    image: mariadb:10.11
    command: [mariadbd, --log-bin, --event-scheduler=on]
    environment: {MARIADB_ROOT_PASSWORD: secret}
    healthcheck:
      test: [CMD, mariadb, -h127.0.0.1, -uroot, -psecret, -e, 'SELECT 1']
      interval: 2s
"""
BUSY_MARIADB = """
CREATE DATABASE d; USE d;
CREATE TABLE innodb (x INT PRIMARY KEY) PARTITION BY HASH (x) PARTITIONS 4;
CREATE TABLE aria (x INT) ENGINE=Aria; CREATE TABLE csv (x INT NOT NULL) ENGINE=CSV;
CREATE TEMPORARY TABLE passing (x INT); INSERT INTO passing VALUES (1);
INSERT INTO innodb VALUES (1), (2), (3);
CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO d.aria VALUES (1);
SET GLOBAL general_log = ON; SET GLOBAL slow_query_log = ON; SET GLOBAL long_query_time = 0;
ANALYZE TABLE innodb; OPTIMIZE TABLE aria; FLUSH LOGS; FLUSH TABLES; FLUSH BINARY LOGS;
SET GLOBAL innodb_buffer_pool_dump_now = ON; SET GLOBAL aria_checkpoint_interval = 1;
CREATE USER u; GRANT SELECT ON d.* TO u;
"""


@dataclass(slots=True)
class Watched:
    """A stack at its baseline, and what its resets told."""

    stack: Stack
    baseline: Baseline
    told: dict[str, tuple[str, str]] = field(default_factory=dict)

    def sh(self, service: str, script: str) -> None:
        result = self.stack.engine.exec(self.stack.container(service), ["sh", "-c", script])
        assert result.exit_code == 0, result.stderr

    def reset(self) -> dict[str, tuple[str, str]]:
        """Reset; return how each service came back, and what was different around it."""
        self.told.clear()
        self.baseline.on_reset = lambda name, manner, why, *_: self.told.update(
            {name: (manner, why)}
        )
        self.baseline.reset()
        return self.told


@pytest.fixture
def mariadb(make_stack: StackMaker, tmp_path: Path) -> Iterator[Watched]:
    yield from watched(make_stack(MARIADB, ready_timeout_s=120), tmp_path)


@pytest.fixture
def redis(make_stack: StackMaker, tmp_path: Path) -> Iterator[Watched]:
    yield from watched(make_stack(CACHE), tmp_path)


def watched(stack: Stack, directory: Path) -> Iterator[Watched]:
    for service in stack.spec.services.values():
        if not stack.engine.has_image(str(service.image)):
            pytest.skip(f"needs the image {service.image}: scripts/ensure-images gets it")
    stack.start()
    baseline = Baseline(stack, directory / "scratch")
    try:
        baseline.capture()
        yield Watched(stack, baseline)
    finally:
        baseline.close()


def test_the_files_that_mariadb_writes_itself_are_left_to_its_strategy(mariadb: Watched) -> None:
    for _ in range(2):
        mariadb.sh("db", f"mariadb -uroot -psecret <<'end'\n{BUSY_MARIADB}\nend\n")
        assert mariadb.reset() == {"db": ("in place", "")}


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize("name", ["stray", "stray.sql", "stray.cnf"])
def test_a_stray_file_among_them_is_seen(mariadb: Watched, name: str) -> None:
    mariadb.sh("db", f"touch /var/lib/mysql/{name}")
    assert mariadb.reset() == {"db": ("replaced", f"/var/lib/mysql/{name} changed")}


def test_the_files_that_redis_writes_itself_are_left_to_its_strategy(redis: Watched) -> None:
    redis.sh("cache", "redis-cli set a b && redis-cli save && redis-cli config set appendonly yes")
    redis.sh("cache", "redis-cli set a c && redis-cli bgrewriteaof && redis-cli bgsave schedule")
    assert redis.reset() == {"cache": ("in place", "")}


def test_a_scripted_health_check_makes_no_difference(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    for checked in watched(make_stack(CHECKED), tmp_path):
        for _ in range(5):
            checked.sh("cache", "redis-cli set a b")
            assert checked.reset() == {"cache": ("in place", "")}


@pytest.mark.parametrize("act", [Stack.restart, Stack.stop, Stack.kill])
def test_a_container_that_a_test_stopped_or_started_again_is_kept(
    make_stack: StackMaker, tmp_path: Path, act: Callable[[Stack, list[str]], None]
) -> None:
    for published in watched(make_stack(PUBLISHED), tmp_path):
        containers = dict(published.stack.containers)
        for _ in range(2):
            act(published.stack, ["cache", "web"])
            assert published.reset() == {"cache": ("in place", "")}
        assert published.stack.containers == containers


def test_changes_after_a_restart_are_seen(make_stack: StackMaker, tmp_path: Path) -> None:
    for published in watched(make_stack(PUBLISHED), tmp_path):
        published.stack.restart(["cache"])
        published.sh("cache", "echo 10.9.9.9 db >>/etc/hosts")
        assert published.reset()["cache"] == ("replaced", "/etc/hosts changed")


@pytest.mark.soak(sample=4)
@pytest.mark.parametrize("name", ["stray.rdb", "stray.aof", "nodes.conf", "appendonly.old"])
def test_a_file_that_looks_like_one_of_redis_is_seen(redis: Watched, name: str) -> None:
    redis.sh("cache", f"touch /data/{name}")
    assert redis.reset() == {"cache": ("replaced", f"/data/{name} changed")}


def test_only_later_containers_are_detached_from_networks(
    make_stack: StackMaker, engine: Engine, tmp_path: Path, owned: Owned
) -> None:
    stack = make_stack(CACHE)
    stack.start()
    network = f"{stack.identity.project}_default"
    guest, stranger = (owned.run("busybox:1", "sleep", "600") for _ in range(2))
    engine.connect_network(network, guest)
    baseline = Baseline(stack, tmp_path / "scratch")
    baseline.capture()
    for _ in range(2):
        engine.connect_network(network, stranger)
        baseline.reset()
        members = engine.inspect_network(network)["Containers"].keys()
        assert members == {guest, stack.container("cache")}
    baseline.close()


def test_the_engines_events_do_not_pile_up_from_reset_to_reset(redis: Watched) -> None:
    arrived = redis.baseline._surroundings._entries._subscription._events
    for _ in range(5):
        redis.sh("cache", "redis-cli set a b")
    until(
        lambda: Ready() if arrived.qsize() >= 5 else Continue("not yet"),
        subject="the events of five commands",
        timeout_s=20,
    )
    redis.reset()
    assert arrived.qsize() < 5  # those of the reset itself may come later


def test_a_shell_that_was_about_to_run_another_program_has_its_name() -> None:
    shell = Process(1, 10, 0, 1, "a", "sh", halted=False)
    forked = Process(2, 11, 1, 1, "a", "sh", halted=False)
    asleep = replace(forked, kin="b", name="sleep")
    reused = replace(forked, started=99, name="cat")
    assert _settled({1: shell, 2: forked}, {1: shell, 2: asleep}) == {1: shell, 2: asleep}
    assert _settled({1: shell, 2: forked}, {1: shell, 2: reused}) == {1: shell, 2: forked}
    assert _settled({1: shell, 2: forked}, {1: shell}) == {1: shell, 2: forked}
