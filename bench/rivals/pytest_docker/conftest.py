"""pytest-docker: one stack for the session, and an SQL reset written by hand after each change."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

SEED = Path(os.environ["BENCH_SHOP"]) / "db" / "initdb.d" / "02-seed.sql"
TABLES = "products, accounts, orders, order_lines, transfers"


@pytest.fixture(scope="session")
def docker_compose_command() -> str:
    return os.environ["BENCH_COMPOSE"]


@pytest.fixture(scope="session")
def docker_compose_file() -> list[str]:
    return os.environ["BENCH_COMPOSE_FILES"].split(os.pathsep)


def responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="session")
def shared_url(docker_ip: str, docker_services: Any) -> str:
    url = f"http://{docker_ip}:{docker_services.port_for('web', 8000)}"
    docker_services.wait_until_responsive(timeout=30.0, pause=0.1, check=lambda: responds(url))
    return url


@pytest.fixture(scope="session")
def database(docker_ip: str, docker_services: Any) -> Iterator["psycopg.Connection[Any]"]:
    port = docker_services.port_for("db", 5432)
    url = f"postgresql://shop:shop@{docker_ip}:{port}/shop"
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def cache(docker_ip: str, docker_services: Any) -> Iterator["redis.Redis"]:
    with redis.Redis(docker_ip, docker_services.port_for("cache", 6379)) as client:
        yield client


@pytest.fixture
def shop_url(request: pytest.FixtureRequest, shared_url: str) -> Iterator[str]:
    if request.node.get_closest_marker("stateless"):
        yield shared_url
        return
    database = request.getfixturevalue("database")
    cache = request.getfixturevalue("cache")
    yield shared_url
    with database.transaction():
        database.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
        database.execute(SEED.read_text())
    cache.flushall()
