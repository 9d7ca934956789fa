"""Suites written for pytest-databases run unchanged, on containers of the pool."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite

pytestmark = pytest.mark.engine

SERVICES = """
import pytest

pytest_plugins = ["pytest_databases.docker.postgres", "pytest_databases.docker.redis"]

@pytest.fixture(scope="session")
def postgres_image():
    return "postgres:15"

@pytest.fixture(scope="session")
def redis_image():
    return "redis:7"
"""

TESTS = """
import psycopg
import pytest
import redis

@pytest.mark.parametrize("number", range(4))
def test_services(postgres_15_service, redis_service, number):
    database = postgres_15_service
    with psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=database.database,
    ) as connection:
        connection.execute("select 1")
    client = redis.Redis(host=redis_service.host, port=redis_service.port, db=redis_service.db)
    client.set("number", number)
    assert redis_service.container.exec_run("true").exit_code == 0
"""


@pytest.fixture
def databases(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite with the one setting, and no Compose file."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    (suite.path / "compose.yaml").unlink()
    suite.write("pytest.ini", "[pytest]\ndockwright_compat = pytest-databases\n")
    suite.write("conftest.py", SERVICES)
    suite.write("test_it.py", TESTS)
    return suite


def test_its_services_come_from_the_pool(databases: Suite) -> None:
    result = databases.passes(passed=4)
    result.stdout.fnmatch_lines(["*2 stacks started, 2 leases*"])


@pytest.mark.parametrize("level", ["database", "server"])
def test_each_worker_has_services_of_its_own(databases: Suite, level: str) -> None:
    databases.write(
        "conftest.py",
        SERVICES
        + f"""
@pytest.fixture(scope="session")
def xdist_postgres_isolation_level():
    return "{level}"
""",
    )
    databases.passes("-n", "2", "-p", "xdist", passed=4)
