"""A reset of PostgreSQL says what a test did: rows by table, and everything else by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
    "BEGIN; DELETE FROM customers; PREPARE TRANSACTION 'two'": [
        "prepared transaction two (in database shop)"
    ],
}

HONEST = [
    "SELECT * FROM customers",
    "SELECT * FROM customers FOR UPDATE",
    "BEGIN; DELETE FROM customers; ROLLBACK",
    "BEGIN; INSERT INTO documents VALUES (7, 'x'); ROLLBACK",
    "CREATE TEMPORARY TABLE gone (a int)",
    "ANALYZE customers",
    "SET work_mem = '9MB'",
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
    strategy.reset()
    assert sorted(map(str, strategy.undone)) == TRACES[change]
    strategy.reset()
    assert strategy.undone == []


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
