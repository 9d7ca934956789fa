"""PostgreSQL comes back row by row where a test changed nothing else; nobody loses a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockwright.reset.base import until_none
from dockwright.reset.postgres import PostgresReset, history
from dockwright.reset.postgres.session import PostgresSession
from tests._support.owned import Owned
from tests._support.reset.postgres_states import (
    CHANGES,
    LOGGED,
    application_of,
    captured,
    dump,
    everything,
    psql,
    server,
)
from tests._support.reset.services import RealService, assert_same

pytestmark = pytest.mark.engine

ROWS = [
    "UPDATE customers SET name = name || '!' WHERE id < 9; DELETE FROM customers WHERE id = 20",
    "DELETE FROM customers",
    "INSERT INTO invoices (customer) SELECT 1 FROM generate_series(1, 500)",
    "SELECT nextval('numbers'), nextval('customers_id_seq')",
    "SELECT setval('numbers', 1, false)",
    "UPDATE documents SET body = repeat('z', 30000)",
    """UPDATE "Odd ""name" SET "a column" = 5; INSERT INTO "Odd ""name" VALUES (7)""",
    "INSERT INTO parts VALUES (2, '2026-07-07'); DELETE FROM parts WHERE id = 1",
    "INSERT INTO sales.orders (mood, total) VALUES ('sad', 1)",
    "SELECT * FROM customers FOR UPDATE",
    "SELECT lo_put(4711, 0, 'changed'), lo_create(4712), lo_unlink(4711)",
    "UPDATE large SET body = 'z' WHERE id % 100 = 1",
    "INSERT INTO followed VALUES (1)",
    "BEGIN; DELETE FROM customers; ROLLBACK",
    "BEGIN; SAVEPOINT a; DELETE FROM customers; ROLLBACK TO a; DELETE FROM invoices; COMMIT",
]

MORE_THAN_ROWS = [
    "CREATE TABLE fresh (a int)",
    "TRUNCATE scratch",
    "ALTER TABLE scratch ADD b int",
    "CREATE TEMPORARY TABLE gone (a int)",
    "CREATE UNLOGGED TABLE gone (a int)",
    "ANALYZE customers",
    "REFRESH MATERIALIZED VIEW kept_totals",
    "SELECT nextval('cached')",
    "ALTER ROLE app SET work_mem = '9MB'",
    "DELETE FROM customers; COMMENT ON DATABASE shop IS 'x'",
    "CREATE DATABASE extra; DROP DATABASE extra",
    "DELETE FROM customers; CREATE DATABASE extra",
]


@pytest.fixture(scope="module")
def service(owned_by_module: Owned) -> RealService:
    service = server(
        owned_by_module, "max_prepared_transactions=5", "autovacuum=off", "wal_level=logical"
    )
    psql(service, LOGGED)
    return service


@pytest.fixture(scope="module")
def strategy(service: RealService) -> Iterator[PostgresReset]:
    with captured(service) as strategy:
        yield strategy


@pytest.fixture
def application(service: RealService) -> Iterator[PostgresSession]:
    """A connection that an application keeps."""
    session = application_of(service)
    session.run("SELECT 1")
    yield session
    session.close()


@pytest.mark.soak(sample=6)
@pytest.mark.parametrize("change", ROWS)
def test_rows_come_back_and_connections_stay(
    service: RealService, strategy: PostgresReset, application: PostgresSession, change: str
) -> None:
    before = everything(service)
    psql(service, change)
    assert everything(service) != before or "FOR UPDATE" in change or "ROLLBACK" in change
    assert not strategy.reset()
    assert_same(before, everything(service))
    application.run("SELECT count(*) FROM customers")


@pytest.mark.parametrize(
    "changes",
    [
        ("BEGIN", "DELETE FROM customers", "ROLLBACK"),
        ("SET synchronous_commit = off", "DELETE FROM invoices"),
        ("SET synchronous_commit = off", "DELETE FROM invoices", "BEGIN", "ROLLBACK"),
    ],
)
def test_changes_that_the_server_has_not_flushed_are_undone(
    service: RealService,
    strategy: PostgresReset,
    application: PostgresSession,
    changes: tuple[str, ...],
) -> None:
    before = everything(service)
    for _ in range(20):
        for change in changes:
            application.run(change)
        assert not strategy.reset()
    assert_same(before, everything(service))


@pytest.mark.soak(sample=5)
@pytest.mark.parametrize("change", MORE_THAN_ROWS)
def test_changes_beyond_rows_restore_the_whole_database(
    service: RealService, strategy: PostgresReset, change: str
) -> None:
    before = everything(service)
    for statement in change.split(";"):
        psql(service, statement)
    assert strategy.reset()
    assert_same(before, everything(service))


def test_the_hardest_changes_come_back_and_rows_after_them(
    service: RealService, strategy: PostgresReset
) -> None:
    before = dump(service)
    psql(service, CHANGES)
    assert strategy.reset()
    assert_same(before, dump(service))
    psql(service, "DELETE FROM customers")
    assert not strategy.reset()
    assert_same(before, dump(service))


def test_an_open_transaction_is_ended(
    service: RealService, strategy: PostgresReset, application: PostgresSession
) -> None:
    before = everything(service)
    application.run("BEGIN")
    application.run("DELETE FROM customers")
    assert strategy.reset()
    assert_same(before, everything(service))


def test_hundreds_of_resets_neither_move_rows_nor_let_tables_grow(
    service: RealService, strategy: PostgresReset, application: PostgresSession
) -> None:
    before = everything(service)
    for number in range(150):
        application.run(
            f"UPDATE customers SET name = name || '-{number}' WHERE id % 3 = {number % 3}",
            "DELETE FROM invoices WHERE id > 10",
            "INSERT INTO invoices (customer) VALUES (1)",
        )
        strategy.reset()
        if number % 50 == 49:
            assert_same(before, everything(service))
            application.close()
            application = application_of(service)
    size = int(psql(service, "SELECT pg_total_relation_size('customers')"))
    application.close()
    assert size < 1 << 20


def test_without_our_replication_slot_databases_come_back(
    service: RealService, strategy: PostgresReset
) -> None:
    before = everything(service)
    psql(service, "DELETE FROM customers; SELECT pg_drop_replication_slot('dockwright')")
    assert strategy.reset()
    assert_same(before, everything(service))
    change_and_reset(service, strategy)


def test_a_long_log_is_released_and_rows_are_restored(
    service: RealService, strategy: PostgresReset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def position() -> int:
        slot = "pg_replication_slots WHERE slot_name = 'dockwright'"
        return int(psql(service, f"SELECT restart_lsn - '0/0' + xmin::text::int FROM {slot}"))

    before = everything(service)
    change_and_reset(service, strategy)
    first = position()
    monkeypatch.setattr(history, "_MOST_LOG_BYTES", 0)
    for _ in range(3):
        change_and_reset(service, strategy)
    until_none(lambda: position() <= first, "slots that are where they were")
    change_and_reset(service, strategy)
    assert_same(before, everything(service))


OURS = "SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND application_name = 'dockwright'"


def ours(service: RealService) -> str:
    """Return the processes of our own sessions in the database."""
    return psql(service, OURS).strip()


def change_and_reset(service: RealService, strategy: PostgresReset) -> None:
    psql(service, "DELETE FROM customers WHERE id = 1")
    assert not strategy.reset()


def test_resets_in_quick_succession_share_a_connection(
    service: RealService, strategy: PostgresReset
) -> None:
    change_and_reset(service, strategy)
    first = ours(service)
    assert first
    change_and_reset(service, strategy)
    assert ours(service) == first


def test_an_idle_connection_of_ours_is_closed(
    service: RealService, strategy: PostgresReset
) -> None:
    change_and_reset(service, strategy)
    until_none(lambda: len(ours(service)), "connections at rest")
    change_and_reset(service, strategy)


def test_a_connection_that_a_test_ended_is_reopened(
    service: RealService, strategy: PostgresReset
) -> None:
    before = everything(service)
    change_and_reset(service, strategy)
    psql(service, OURS.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))
    change_and_reset(service, strategy)
    assert_same(before, everything(service))


def test_a_test_may_copy_the_database_right_after_a_reset(
    service: RealService, strategy: PostgresReset
) -> None:
    change_and_reset(service, strategy)
    assert ours(service)
    psql(service, "CREATE DATABASE copy TEMPLATE shop", database="postgres")
    assert strategy.reset()
