"""PostgreSQL comes back to its baseline while it runs, whatever was done to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from dockwright.errors import StackError
from dockwright.reset.postgres import PostgresReset
from dockwright.reset.postgres.session import PostgresSession
from tests._support.owned import Owned
from tests._support.reset.postgres_states import (
    CHANGES,
    SEED,
    application_of,
    captured,
    dump,
    psql,
    server,
)
from tests._support.reset.services import RealService, assert_same

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def service(owned_by_module: Owned, way: str) -> RealService:
    service = server(owned_by_module, "wal_level=logical", "max_prepared_transactions=5")
    psql(service, SEED)
    return service


@pytest.fixture(scope="module")
def strategy(service: RealService) -> Iterator[PostgresReset]:
    with captured(service) as strategy:
        yield strategy


def test_everything_that_a_test_can_reach_comes_back(
    service: RealService, strategy: PostgresReset
) -> None:
    before = dump(service)
    for _ in range(2):
        psql(service, CHANGES)
        assert dump(service) != before
        assert strategy.reset()
        assert_same(before, dump(service))


def test_a_lease_that_only_read_costs_nothing_and_keeps_connections(
    service: RealService, strategy: PostgresReset
) -> None:
    settle(strategy)
    psql(service, "SELECT count(*) FROM sales.orders; SELECT * FROM pg_roles; BEGIN; COMMIT;")
    assert not strategy.reset()


@pytest.mark.soak(sample=8)
@pytest.mark.parametrize(
    "change",
    [
        "SELECT nextval('numbers')",
        "SELECT nextval('sales.orders_id_seq')",
        "UPDATE scratch SET a = a",
        "SELECT lo_put(4711, 0, 'x')",
        "COMMENT ON TABLE parts IS 'x'",
        "ALTER ROLE app PASSWORD 'x'",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "SELECT pg_create_physical_replication_slot('one')",
        "BEGIN; DELETE FROM parts; PREPARE TRANSACTION 'one'",
        "ALTER DATABASE postgres SET work_mem = '1MB'",
        "SELECT * FROM parts FOR UPDATE",
        "CREATE TEMPORARY TABLE gone (a int)",
        "SELECT 1; BEGIN; INSERT INTO parts VALUES (2, '2026-01-01'); ROLLBACK",
    ],
)
def test_the_smallest_change_is_noticed(
    service: RealService, strategy: PostgresReset, change: str
) -> None:
    settle(strategy)
    psql(service, change)
    assert strategy.reset()


def test_a_sequence_leaves_a_trace_after_each_reset(
    service: RealService, strategy: PostgresReset
) -> None:
    for _ in range(3):
        settle(strategy)
        assert psql(service, "SELECT nextval('numbers')").strip() == "101"
        assert strategy.reset()


def test_another_database_than_the_one_that_was_used_is_left_alone(
    service: RealService, strategy: PostgresReset
) -> None:
    psql(service, "CREATE TABLE fresh (a int)", "Second one")
    assert strategy.reset()  # it is a new copy now, in which nobody was
    settle(strategy)
    number = "SELECT oid FROM pg_database WHERE datname = "
    before = psql(service, f"{number}'Second one'; {number}'shop'").split()
    psql(service, "DELETE FROM parts")
    assert strategy.reset()
    after = psql(service, f"{number}'Second one'; {number}'shop'").split()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_role_that_owns_what_the_baseline_holds_can_be_dropped_and_comes_back(
    service: RealService, strategy: PostgresReset
) -> None:
    before = dump(service)
    psql(service, 'DROP DATABASE "Second one"')
    psql(service, "DROP OWNED BY app CASCADE; DROP ROLE app")
    assert strategy.reset()
    assert_same(before, dump(service))


def test_open_transactions_and_locks_of_others_do_not_hold_a_reset_up(
    service: RealService, strategy: PostgresReset
) -> None:
    settle(strategy)
    idle = application_of(service)
    idle.run("BEGIN")
    idle.run("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
    reader = application_of(service)
    reader.run("SELECT pg_advisory_lock(5)")
    assert strategy.reset()
    for session in (idle, reader):
        with pytest.raises(StackError):
            session.run("SELECT 1")
        session.close()
    assert psql(service, "SELECT count(*) FROM parts").strip() == "1"


def test_a_session_may_be_closed_while_another_thread_uses_it(service: RealService) -> None:
    def use(session: PostgresSession) -> None:
        with contextlib.suppress(StackError):
            while True:
                session.run("SELECT 1")

    for _ in range(20):
        session = application_of(service)
        user = threading.Thread(target=use, args=[session])
        user.start()
        session.close()
        user.join(timeout=10)
        assert not user.is_alive()


def test_a_lock_that_writes_nothing_is_noticed(
    service: RealService, strategy: PostgresReset
) -> None:
    settle(strategy)
    holder = application_of(service)
    holder.run("SELECT pg_advisory_lock(5)")
    assert strategy.reset()
    holder.close()


def test_connections_that_stay_idle_are_kept_when_nothing_was_written(
    service: RealService, strategy: PostgresReset
) -> None:
    settle(strategy)
    application = application_of(service)
    application.run("SELECT count(*) FROM parts")
    assert not strategy.reset()
    application.run("SELECT 1")
    application.close()


def test_a_restarted_server_is_reset(service: RealService, strategy: PostgresReset) -> None:
    before = dump(service)
    psql(service, "DELETE FROM sales.orders")
    service.engine.restart_container(service.container(), 10)
    service.await_ready()
    assert strategy.reset()
    assert_same(before, dump(service))
    psql(service, "DELETE FROM sales.orders")
    assert strategy.reset()
    assert_same(before, dump(service))


def test_our_own_connection_may_be_ended(service: RealService, strategy: PostgresReset) -> None:
    before = dump(service)
    end_all = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    psql(service, f"{end_all}; DELETE FROM parts")
    assert strategy.reset()
    assert_same(before, dump(service))
    settle(strategy)
    psql(service, end_all)
    assert not strategy.reset()


def test_resets_in_quick_succession_need_no_spare(
    service: RealService, strategy: PostgresReset
) -> None:
    for _ in range(5):
        psql(service, "DELETE FROM sales.orders")
        assert strategy.reset()
    assert psql(service, "SELECT count(*) FROM sales.orders").strip() == "100"


def test_a_spare_that_somebody_entered_is_not_used(
    service: RealService, strategy: PostgresReset
) -> None:
    settle(strategy)
    psql(service, "DELETE FROM parts")
    assert strategy.reset()
    settle(strategy)
    before = dump(service)
    spares = "SELECT datname FROM pg_database WHERE datname ~ '_spare_'"
    for spare in psql(service, spares).split():
        psql(
            service,
            f"""ALTER DATABASE {spare} ALLOW_CONNECTIONS true;
            \\c {spare}
            CREATE TABLE intruder (a int);
            \\c shop
            ALTER DATABASE {spare} ALLOW_CONNECTIONS false;
            DELETE FROM parts;""",
        )
    assert strategy.reset()
    assert_same(before, dump(service))


@pytest.mark.parametrize(
    "change",
    [
        "ALTER SYSTEM SET work_mem = '99MB'; SELECT pg_reload_conf(); SELECT pg_sleep(0.2); "
        "ALTER SYSTEM SET work_mem = '5MB'",
        "SELECT pg_replication_origin_create('elsewhere'); "
        "SELECT pg_replication_origin_advance('elsewhere', '0/1234')",
    ],
)
def test_state_outside_files_and_tables_comes_back(
    service: RealService, strategy: PostgresReset, change: str
) -> None:
    state = "SHOW work_mem; SELECT * FROM pg_replication_origin_status"
    before = psql(service, state)
    for statement in change.split("; "):
        psql(service, statement)
    assert psql(service, state) != before
    assert strategy.reset()
    assert psql(service, state) == before


def settle(strategy: PostgresReset) -> None:
    """Reset until there is nothing to do: what ran before may still be noticed once."""
    for _ in range(10):
        if not strategy.reset():
            assert strategy._tidier
            strategy._tidier.join()  # or a test might disturb it at its work
            return
    pytest.fail("there is always something to reset")
