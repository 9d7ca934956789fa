"""Every kind of change to a PostgreSQL cluster comes back: each alone, and some at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from dockwright.reset.postgres import PostgresReset
from tests._support.owned import Owned
from tests._support.reset.battery import Change, combinations, rows
from tests._support.reset.postgres_changes import CHANGES
from tests._support.reset.postgres_states import LOGGED, LOOK, captured, dump, psql, server
from tests._support.reset.services import RealService, assert_same

pytestmark = pytest.mark.engine

# Our own sessions and databases aside.
OTHERS = r"""
SELECT format('SELECT %1$L, md5(string_agg(t::text, '''' ORDER BY t::text)) FROM %1$I t', relname)
FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
ORDER BY relname
\gexec
SELECT name, setting, reset_val, source, pending_restart FROM pg_settings ORDER BY name;
SELECT datname, usename, application_name, backend_type, state FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
AND application_name <> 'dockwright' ORDER BY 1, 2, 3;
SELECT locktype, mode, count(*) FROM pg_locks WHERE pid <> pg_backend_pid() OR pid IS NULL
GROUP BY 1, 2;
SELECT slot_name, slot_type, active FROM pg_replication_slots;
SELECT * FROM pg_replication_origin_status;
SELECT setdatabase <> 0, setrole, setconfig FROM pg_db_role_setting ORDER BY 2, 3;
\! ls -A $PGDATA; cd $PGDATA; md5sum *.conf
"""


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


def state(service: RealService) -> str:
    return dump(service, LOOK + OTHERS)


@pytest.fixture(scope="module")
def baseline(service: RealService, strategy: PostgresReset) -> str:
    return state(service)


@pytest.mark.parametrize("change", rows(CHANGES, sample=4))
def test_a_change_comes_back(
    service: RealService, strategy: PostgresReset, baseline: str, change: Change[str]
) -> None:
    psql(service, change.commands)
    strategy.reset()
    assert_same(baseline, state(service))


@pytest.mark.parametrize("changes", combinations(CHANGES, sample=2, full=60))
def test_changes_in_any_order_come_back(
    service: RealService,
    strategy: PostgresReset,
    baseline: str,
    changes: Sequence[Change[str]],
) -> None:
    for change in changes:
        # One change may take away what the next one needs: then that one fails, like a test's.
        psql(service, "\\unset ON_ERROR_STOP\n" + change.commands)
    strategy.reset()
    assert_same(baseline, state(service))
