"""Which strategy a service gets that declares none, and what happens when that cannot work."""

from __future__ import annotations

import logging

import pytest

from dockwright.errors import ComposeError
from dockwright.model import Json, ServiceSpec
from dockwright.reset import STRATEGIES, choose
from dockwright.reset.registry import by_environment, by_image
from tests._support.owned import Owned
from tests._support.reset.postgres_states import psql
from tests._support.reset.services import RealService, start


@pytest.mark.parametrize(
    ("reference", "strategy"),
    [
        ("postgres", "postgres"),
        ("postgres:15-alpine", "postgres"),
        ("docker.io/library/postgres:15@sha256:0123", "postgres"),
        ("registry:5000/mirror/postgis:15-3.4", "postgres"),
        ("pgvector/pgvector:pg16", "postgres"),
        ("timescale/timescaledb-ha:pg15", "postgres"),
        ("bitnami/postgresql", "postgres"),
        ("redis:7-alpine", "redis"),
        ("valkey/valkey:8", "redis"),
        ("eqalpha/keydb", "redis"),
        ("mysql:8", "mysql"),
        ("mariadb:10.11", "mysql"),
        ("percona/percona-server:8.0", "mysql"),
        ("prom/postgres-exporter", None),
        ("oliver006/redis_exporter", None),
        ("nginx", None),
        ("", None),
    ],
)
def test_images_are_known_by_name(reference: str, strategy: str | None) -> None:
    assert by_image(reference) == strategy


def test_images_that_were_built_from_known_ones_are_known_by_their_environment() -> None:
    assert by_environment(["PATH=/bin", "PG_MAJOR=15"]) == "postgres"
    assert by_environment(["REDIS_VERSION=7.2"]) == "redis"
    assert by_environment(["MARIADB_VERSION=1:10.11"]) == "mysql"
    assert by_environment(["POSTGRES_HOST=db"]) is None


@pytest.mark.engine
def test_a_known_image_is_reset_in_place(owned: Owned) -> None:
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
def test_an_unknown_name_with_a_known_environment_is_reset_in_place(owned: Owned) -> None:
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
def test_what_cannot_work_falls_back_with_a_warning(
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
    assert "NOAUTH" in warning


@pytest.mark.engine
@pytest.mark.parametrize(
    ("image", "command", "said"),
    [
        ("redis:7", "sleep 600", "Could not connect to Redis at 127.0.0.1:6379"),
        (
            "redis:7",
            "redis-server --port 0 --unixsocket /tmp/redis.sock",
            "Could not connect to Redis at 127.0.0.1:0",
        ),
        ("postgres:15", "sleep 600", "psql in the container ended: psql: error: connection"),
        ("mariadb:10.11", "sleep 600", "the client in the container ended: ERROR 2002"),
    ],
)
def test_a_databases_image_that_runs_something_else_is_refused_at_once(
    image: str, command: str, said: str, owned: Owned, caplog: pytest.LogCaptureFixture
) -> None:
    service = start(owned, image, *command.split(), check="true")
    strategy = choose(service, STRATEGIES)
    with caplog.at_level(logging.WARNING):
        strategy.capture()
    assert strategy.manner == "recreate"
    [warning] = caplog.messages
    assert said in warning
    assert "has not answered" not in warning  # the end of a wait


@pytest.mark.engine
@pytest.mark.parametrize(
    ("trace", "port"), [("REDIS_VERSION", 6379), ("PG_MAJOR", 5432), ("MYSQL_VERSION", 3306)]
)
def test_a_different_server_on_the_usual_port_fails_quickly(
    trace: str, port: int, owned: Owned, caplog: pytest.LogCaptureFixture
) -> None:
    # It says nothing before it is asked: a client of MySQL waits for its greeting.
    server = ("python3", "-m", "http.server", str(port))
    check = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
    service = start(owned, "python:3.11-slim", *server, check=check, env={trace: "1"})
    strategy = choose(service, STRATEGIES)
    with caplog.at_level(logging.WARNING):
        strategy.capture()
    assert strategy.manner == "recreate"
    assert "cannot work" in caplog.text


@pytest.mark.engine
def test_an_unknown_image_and_a_finished_job_are_recreated_silently(
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
