"""testcontainers-python, as its documentation teaches.

A stack for the session that all readers share, and fresh containers for each test that changes
state. Waits are those of its own container classes, and HttpWaitStrategy for the application.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy
from testcontainers.postgres import PostgresContainer
from testcontainers.redis import RedisContainer

LABELS = {"dockwright-bench": os.environ["BENCH_RUN"]}
INIT_FILES = Path(os.environ["BENCH_SHOP"]) / "db" / "initdb.d"


@contextmanager
def running_shop() -> Iterator[str]:
    with ExitStack() as stack:
        network = stack.enter_context(Network(docker_network_kw={"labels": LABELS}))
        stack.enter_context(
            PostgresContainer(
                "postgres:15",
                username="shop",
                password="shop",
                dbname="shop",
                network=network,
                network_aliases=["db"],
                labels=LABELS,
            ).with_volume_mapping(INIT_FILES, "/docker-entrypoint-initdb.d")
        )
        stack.enter_context(
            RedisContainer(
                "redis:7",
                command="redis-server --appendonly yes",
                network=network,
                network_aliases=["cache"],
                labels=LABELS,
            )
        )
        web = stack.enter_context(
            DockerContainer(
                os.environ["BENCH_WEB_IMAGE"],
                env={
                    "DATABASE_URL": "postgresql://shop:shop@db:5432/shop",
                    "CACHE_URL": "redis://cache:6379/0",
                    "CART_TTL_S": "900",
                },
                ports=[8000],
                network=network,
                network_aliases=["web"],
                labels=LABELS,
            ).waiting_for(HttpWaitStrategy(8000, "/health").for_status_code(200))
        )
        yield f"http://{web.get_container_host_ip()}:{web.get_exposed_port(8000)}"


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    with running_shop() as url:
        yield url


@pytest.fixture
def shop_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.node.get_closest_marker("stateless"):
        yield request.getfixturevalue("shared_url")
        return
    with running_shop() as url:
        yield url
