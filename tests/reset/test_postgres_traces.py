"""A reset of PostgreSQL says what a test did: rows by table, and everything else by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dockwright.errors import StackError
from dockwright.reset.postgres import PostgresReset
from dockwright.reset.postgres.session import PostgresSession
from tests._support.owned import Owned
from tests._support.reset.postgres_states import LOGGED, application_of, captured, psql, server
from tests._support.reset.services import RealService

pytestmark = pytest.mark.engine

TRACES = {
    "UPDATE customers SET name = name || '!' WHERE id = 1": [
        "table shop.public.customers (1 row changed)"
    ],
    "UPDATE customers SET name = name || 'a' WHERE id < 4; "
    "UPDATE customers SET name = name || 'b' WHERE id < 4": [
        "table shop.public.customers (3 rows changed)"
    ],
    "INSERT INTO documents VALUES (7, 'x'), (8, 'y')": [
        "table shop.public.documents (2 rows added)"
    ],
    "INSERT INTO documents VALUES (7, 'x'); DELETE FROM documents WHERE id = 7": [],
    "SELECT nextval('numbers')": ["sequence shop.public.numbers (advanced)"],
    "CREATE TABLE public.fresh (a serial PRIMARY KEY)": ["table shop.public.fresh (added)"],
    "CREATE TABLE public.fresh (a int); DROP TABLE scratch": [
        "table shop.public.fresh (added)",
        "table shop.public.scratch (deleted)",
    ],
    "ALTER TABLE scratch ADD b int": ["table shop.public.scratch (changed)"],
    "CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1'": [
        "function shop.public.one() (added)"
    ],
    "DROP TABLE sales.orders CASCADE": [
        "table shop.sales.orders (deleted)",
        "view shop.public.kept_totals (deleted)",
        "view shop.public.totals (deleted)",
    ],
    "CREATE ROLE visitor": ["role visitor (added)"],
    "ALTER SYSTEM SET maintenance_work_mem = '9MB'": ["setting maintenance_work_mem (added)"],
    "CREATE DATABASE extra": ["database extra (added)"],
    "ALTER DATABASE shop SET work_mem = '9MB'": ["database shop (changed)"],
    "ALTER ROLE shop SET work_mem = '9MB'": ["settings of roles (changed)"],
    "COMMENT ON TABLE customers IS 'x'": ["catalog shop.pg_description (changed)"],
    "CREATE CAST (text AS bytea) WITHOUT FUNCTION": ["catalog shop.pg_cast (changed)"],
    'CREATE COLLATION public.here FROM "C"': ["catalog shop.pg_collation (changed)"],
    "CREATE PUBLICATION news FOR ALL TABLES": ["catalog shop.pg_publication (changed)"],
    "SELECT lo_create(7777)": ["table shop.pg_catalog.pg_largeobject_metadata (1 row added)"],
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC": [
        "catalog shop.pg_default_acl (changed)"
    ],
    "CREATE STATISTICS public.s ON id, name FROM customers": [
        "catalog shop.pg_statistic_ext (changed)"
    ],
    "GRANT SELECT ON customers TO PUBLIC": ["table shop.public.customers (changed)"],
    "CREATE RULE r AS ON INSERT TO scratch DO NOTHING": ["table shop.public.scratch (changed)"],
    "CREATE VIEW public.v AS SELECT 1 AS a": ["view shop.public.v (added)"],
    "CREATE SCHEMA fresh": ["schema shop.fresh (added)"],
    "CREATE TYPE public.weather AS ENUM ('fair')": ["type shop.public.weather (added)"],
    "TRUNCATE documents": ["table shop.public.documents (changed)"],
    "SELECT pg_create_physical_replication_slot('left')": ["replication slot left (added)"],
    "SELECT pg_replication_origin_create('left')": ["replication origins (changed)"],
    "CREATE UNLOGGED TABLE public.fresh (a int)": ["table shop.public.fresh (added)"],
    "REFRESH MATERIALIZED VIEW kept_totals": ["view shop.public.kept_totals (changed)"],
    "BEGIN; DELETE FROM customers; PREPARE TRANSACTION 'two'": [
        "prepared transaction two (in database shop)"
    ],
}

HONEST = [
    "SELECT * FROM customers",
    "SELECT * FROM customers FOR UPDATE",
    "BEGIN; DELETE FROM customers; ROLLBACK",
    "BEGIN; INSERT INTO documents VALUES (7, 'x'); ROLLBACK",
    "BEGIN; INSERT INTO documents VALUES (7, 'x'); CREATE TABLE public.a (); ROLLBACK",
    "CREATE TEMPORARY TABLE gone (a int)",
    "ANALYZE customers",
    "SET work_mem = '9MB'",
    "SELECT set_config('work_mem', '9MB', false)",
    "NOTIFY news",
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "BEGIN; LOCK TABLE customers; COMMIT",
    "SELECT pg_advisory_lock(7)",
]


@pytest.fixture(scope="module")
def service(owned_by_module: Owned) -> RealService:
    """A server with everything in it."""
    service = server(owned_by_module, "max_prepared_transactions=5", "wal_level=logical")
    psql(service, LOGGED)
    return service


@pytest.fixture(scope="module")
def strategy(service: RealService) -> Iterator[PostgresReset]:
    """Its strategy, which finds out names and numbers."""
    with captured(service) as strategy:
        strategy.curious = True
        yield strategy


@pytest.mark.soak(sample=6)
@pytest.mark.parametrize("change", TRACES)
def test_what_was_done(service: RealService, strategy: PostgresReset, change: str) -> None:
    psql(service, change)
    assert not strategy.untouched()
    strategy.reset()
    assert sorted(map(str, strategy.undone)) == TRACES[change]
    strategy.reset()
    assert strategy.undone == []
    assert strategy.untouched()


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize("statement", HONEST)
def test_changes_without_a_visible_effect_are_not_reported(
    service: RealService, strategy: PostgresReset, statement: str
) -> None:
    psql(service, statement)
    strategy.reset()
    assert strategy.undone == []


@pytest.fixture
def application(service: RealService) -> Iterator[PostgresSession]:
    """A connection that a test forgets."""
    session = application_of(service)
    yield session
    session.close()


@pytest.mark.parametrize(
    ("statements", "trace"),
    [
        (["BEGIN", "SELECT 1 FROM customers"], "transaction (left open: SELECT 1 FROM customers)"),
        (["SELECT pg_advisory_lock(7)"], "lock (left open: SELECT pg_advisory_lock(7))"),
    ],
)
def test_transactions_and_locks_left_open_are_named(
    service: RealService,
    strategy: PostgresReset,
    application: PostgresSession,
    statements: list[str],
    trace: str,
) -> None:
    for statement in statements:
        application.run(statement)
    strategy.reset()
    assert list(map(str, strategy.undone)) == [trace]


def test_a_statement_that_still_runs_is_perhaps_an_applications_own(
    service: RealService, strategy: PostgresReset, application: PostgresSession
) -> None:
    def sleep() -> None:
        with suppress(StackError):  # the reset ends it
            application.run("SELECT pg_sleep(60)")

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    while psql(service, RUNNING).strip() != "1":
        time.sleep(0.01)
    strategy.reset()
    sleeper.join()
    [trace] = strategy.undone
    assert (str(trace), trace.certain) == ("statement (still runs: SELECT pg_sleep(60))", False)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
