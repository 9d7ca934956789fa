"""Which strategy a service gets that declares none, and what happens when that cannot work."""

from __future__ import annotations

import logging

import pytest

from dockwright.errors import ComposeError
from dockwright.model import Json, ServiceSpec
from dockwright.reset import STRATEGIES, choose
from tests._support.owned import Owned
from tests._support.reset.postgres_states import psql
from tests._support.reset.services import RealService, start


@pytest.mark.engine
def test_a_known_server_is_reset_in_place(owned: Owned) -> None:
    service = start(owned, "redis:7", check="redis-cli ping")
    strategy = choose(service, STRATEGIES)
    manners = [strategy.manner]
    strategy.capture()
    assert [*manners, strategy.manner] == ["recreate", "in place"]
    service.run("redis-cli", "SET", "a", "1")
    assert not strategy.reset()
    assert service.run("redis-cli", "DBSIZE").strip() == "0"
    strategy.close()


@pytest.mark.engine
def test_an_image_without_a_known_name_is_reset_in_place(owned: Owned) -> None:
    service = start(
        owned,
        "postgres:15",
        check="pg_isready -q -h 127.0.0.1",
        env={"POSTGRES_PASSWORD": "x"},
    )
    service.spec = ServiceSpec("db", {})
    strategy = choose(service, STRATEGIES)
    strategy.capture()
    assert strategy.manner == "in place"
    strategy.close()


@pytest.mark.engine
def test_a_strategy_that_cannot_work_falls_back_with_a_warning(
    owned: Owned, caplog: pytest.LogCaptureFixture
) -> None:
    service = start(owned, "redis:7", check="redis-cli ping")
    service.run("redis-cli", "CONFIG", "SET", "requirepass", "hidden")
    strategy = choose(service, STRATEGIES)
    with caplog.at_level(logging.WARNING):
        strategy.capture()
    assert strategy.manner == "recreate"
    [warning] = caplog.messages
    assert "service=db: strategy redis cannot work" in warning
    assert "no way into Redis on port 6379: " in warning
    assert "Authentication required" in warning
    assert "set REDIS_PASSWORD to its password" in warning


@pytest.mark.engine
def test_the_name_of_an_image_does_not_make_it_a_database(
    owned: Owned, caplog: pytest.LogCaptureFixture
) -> None:
    port = "5432"  # it says nothing before it is asked: a client of MySQL waits for its greeting
    check = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
    trace = {"PG_MAJOR": "15"}
    web = start(
        owned, "python:3.11-slim", "python3", "-m", "http.server", port, check=check, env=trace
    )
    web.spec = ServiceSpec("db", {"image": "postgres:15"})
    sleeper = start(owned, "redis:7", "sleep", "600", check="true")
    for service in (web, sleeper):
        strategy = choose(service, STRATEGIES)
        with caplog.at_level(logging.WARNING):
            strategy.capture()
        assert strategy.manner == "recreate"
    assert caplog.messages == []


@pytest.mark.engine
def test_a_server_that_listens_at_a_socket_only_is_reset_in_place(owned: Owned) -> None:
    command = "redis-server --port 0 --unixsocket /tmp/redis.sock"
    service = start(owned, "redis:7", *command.split(), check="redis-cli -s /tmp/redis.sock ping")
    strategy = choose(service, STRATEGIES)
    strategy.capture()
    assert strategy.manner == "in place"
    service.run("redis-cli", "-s", "/tmp/redis.sock", "SET", "a", "1")
    strategy.reset()
    assert service.run("redis-cli", "-s", "/tmp/redis.sock", "DBSIZE").strip() == "0"
    strategy.close()


@pytest.mark.engine
def test_an_unknown_image_and_a_finished_job_are_recreated_without_a_word(
    owned: Owned, scratch: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = RealService(owned.engine, owned.run(scratch, "sleep", "600"), ServiceSpec("web", {}))
    job = RealService(
        owned.engine,
        owned.create("redis:7", "true"),
        ServiceSpec("job", {"image": "redis:7"}),
    )
    for service in (web, job):
        strategy = choose(service, STRATEGIES)
        strategy.capture()
        assert strategy.manner == "recreate"
    assert caplog.messages == []


@pytest.mark.engine
def test_a_declared_strategy_that_cannot_work_is_an_error(owned: Owned, scratch: str) -> None:
    options: dict[str, Json] = {}
    spec = ServiceSpec("db", {"image": scratch}, reset="redis", options=options)
    service = RealService(owned.engine, owned.run(scratch, "sleep", "600"), spec)
    strategy = choose(service, STRATEGIES)
    with pytest.raises(Exception, match="container"):
        strategy.capture()


def test_an_unknown_strategy_names_the_known_ones(owned: Owned) -> None:
    service = RealService(owned.engine, "x", ServiceSpec("db", {}, reset="postgrs"))
    with pytest.raises(ComposeError) as caught:
        choose(service, STRATEGIES)
    assert str(caught.value) == (
        "services.db.x-dockwright.reset: no reset strategy 'postgrs'\n  hint: the strategies are: "
        "command, mysql, none, postgres, recreate, redis, volume"
    )


@pytest.mark.engine
def test_a_new_container_is_inspected_again(owned: Owned) -> None:
    environment = {"POSTGRES_PASSWORD": "shop", "POSTGRES_USER": "shop"}
    check = "pg_isready -q -h 127.0.0.1 -U shop"
    service = start(owned, "postgres:15", check=check, env=environment)
    strategy = choose(service, STRATEGIES)
    strategy.capture()
    service.identifier = start(owned, "postgres:15", check=check, env=environment).identifier
    strategy.capture()
    psql(service, "CREATE TABLE t (a int)")
    assert strategy.reset()
    strategy.close()
