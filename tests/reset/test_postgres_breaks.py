"""What cannot be undone in a running PostgreSQL is found, so that the stack gets replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockwright.errors import StackBrokenError, StackError
from dockwright.reset.postgres import PostgresReset
from tests._support.owned import Owned
from tests._support.reset.postgres_states import captured, psql, server
from tests._support.reset.services import RealService

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def service(owned_by_module: Owned) -> RealService:
    """One server for all tests; each leaves it so that a new baseline can be captured."""
    return server(owned_by_module, "wal_level=logical", "max_prepared_transactions=2")


@pytest.fixture
def strategy(service: RealService) -> Iterator[PostgresReset]:
    with captured(service) as strategy:
        yield strategy


@pytest.mark.soak(sample=8)
@pytest.mark.parametrize(
    ("script", "reason", "undo"),
    [
        (
            "SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname) FROM pg_database"
            " WHERE datname ~ '_template_' \\gexec\n"
            "SELECT format('DROP DATABASE %I', datname) FROM pg_database"
            " WHERE datname ~ '_template_' \\gexec",
            "the template of database .* is gone or was changed",
            "",
        ),
        (
            "SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname) FROM pg_database"
            " WHERE datname ~ '_template_' \\gexec",
            "the template of database .* is gone or was changed",
            "",
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
            "a subscription was made",
            "ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s",
        ),
        (
            "\\! mkdir /tmp/space && chown postgres /tmp/space\n"
            "CREATE TABLESPACE more LOCATION '/tmp/space'",
            "its tablespaces were changed",
            "DROP TABLESPACE more",
        ),
        (
            "\\! echo '# changed' >> $PGDATA/pg_hba.conf",
            "its configuration files, or what lies beside them, were changed",
            "",
        ),
        ("ALTER DATABASE template0 CONNECTION LIMIT 5", "database template0, .*, was changed", ""),
        (
            "ALTER DATABASE template0 ALLOW_CONNECTIONS true;\n"
            "\\c template0\n"
            "CREATE TABLE intruder (a int);\n"
            "\\c shop\n"
            "ALTER DATABASE template0 ALLOW_CONNECTIONS false",
            "database template0, .*, was changed",
            "",
        ),
        (
            "SELECT format('ALTER DATABASE %1$I ALLOW_CONNECTIONS true;', datname),"
            " format('ALTER DATABASE %1$I ALLOW_CONNECTIONS false;', datname)"
            " FROM pg_database WHERE datname ~ '_template_' \\gexec",
            "the template of database .* is gone or was changed",
            "",
        ),
        (
            "\\c dockwright\nCREATE TABLE intruder (a int)",
            "our own database, dockwright, was changed",
            "\\c dockwright\nDROP TABLE intruder",
        ),
        (
            "\\c dockwright\nUPDATE saved_pg_authid SET rolname = 'x' WHERE rolname = 'shop'",
            "our own database, dockwright, was changed",
            "",
        ),
        (
            "COPY (SELECT 1) TO '/var/lib/postgresql/data/stray'",
            "its configuration files, or what lies beside them, were changed",
            "\\! rm $PGDATA/stray",
        ),
        ("DROP DATABASE dockwright WITH (FORCE)", 'database "dockwright" does not exist', ""),
    ],
)
def test_a_change_that_cannot_be_undone_breaks_the_stack(
    service: RealService, strategy: PostgresReset, script: str, reason: str, undo: str
) -> None:
    psql(service, script)
    with pytest.raises(StackBrokenError, match=f"service db: cannot be reset in place: .*{reason}"):
        strategy.reset()
    psql(service, undo)


def test_a_setting_that_took_a_restart_breaks_the_stack(
    service: RealService, strategy: PostgresReset
) -> None:
    psql(service, "ALTER SYSTEM SET max_connections = 55")
    restart(service)
    with pytest.raises(StackBrokenError, match="its settings were changed by a restart"):
        strategy.reset()
    psql(service, "ALTER SYSTEM RESET ALL")
    restart(service)


def test_a_killed_server_breaks_the_stack(service: RealService, strategy: PostgresReset) -> None:
    service.engine.kill_container(service.container())
    with pytest.raises(StackBrokenError, match="service db: cannot be reset in place: "):
        strategy.reset()
    service.engine.start_container(service.container())
    service.await_ready()


def test_a_crash_is_undone_unless_it_emptied_unlogged_tables(
    service: RealService, strategy: PostgresReset
) -> None:
    psql(service, "CREATE TABLE t (a int)")
    crash(service)
    assert strategy.reset()
    psql(service, "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS a")
    strategy.capture()
    restart(service)
    assert strategy.reset()
    assert psql(service, "SELECT count(*) FROM scratch").strip() == "1"
    crash(service)
    with pytest.raises(StackBrokenError, match="it crashed, which emptied its unlogged tables"):
        strategy.reset()
    psql(service, "DROP TABLE scratch")


@pytest.mark.parametrize(
    ("script", "reason", "undo"),
    [
        (
            "BEGIN; CREATE TABLE t (a int); PREPARE TRANSACTION 'x'",
            "prepared transactions",
            "ROLLBACK PREPARED 'x'",
        ),
        (
            "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
            "logical replication slots",
            "SELECT pg_drop_replication_slot('s')",
        ),
        (
            "CREATE ROLE other SUPERUSER LOGIN; SET ROLE other; ALTER ROLE shop NOSUPERUSER",
            "shop is not a superuser",
            "",
        ),
    ],
)
def test_a_cluster_that_cannot_be_cloned_is_reported_at_the_baseline(
    service: RealService, script: str, reason: str, undo: str
) -> None:
    psql(service, script)
    strategy = PostgresReset(service)
    with pytest.raises(StackError, match=reason):
        strategy.capture()
    strategy.close()
    closed = "SELECT datname FROM pg_database WHERE NOT datallowconn AND datname !~ '_'"
    assert psql(service, closed).split() == ["template0"]
    if undo:
        psql(service, undo)
    else:
        service.run("psql", "-U", "other", "-d", "shop", "-c", "ALTER ROLE shop SUPERUSER")


def test_a_second_baseline_replaces_the_first(
    service: RealService, strategy: PostgresReset
) -> None:
    psql(service, "CREATE TABLE later (a int)")
    strategy.capture()
    psql(service, "DROP TABLE later")
    assert strategy.reset()
    assert psql(service, "SELECT count(*) FROM later; DROP TABLE later").strip() == "0"


def test_a_password_in_a_file_is_found(owned: Owned) -> None:
    service = server(owned, POSTGRES_PASSWORD="", POSTGRES_PASSWORD_FILE="/etc/hostname")
    strategy = PostgresReset(service)
    strategy.capture()
    psql(service, "CREATE TABLE t (a int)")
    assert strategy.reset()
    strategy.close()


def test_without_a_route_to_the_server_its_own_client_is_used(
    service: RealService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "reachable", False)
    strategy = PostgresReset(service)
    strategy.capture()
    psql(service, "CREATE TABLE t (a int)")
    assert strategy.reset()
    strategy.close()


def restart(service: RealService) -> None:
    service.engine.restart_container(service.container(), 10)
    service.await_ready()


def crash(service: RealService) -> None:
    """Kill a process of the server, which then recovers as from a power cut."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    service.run("bash", "-c", f"kill -9 {psql(service, query)}", user="0")
    service.await_ready()
