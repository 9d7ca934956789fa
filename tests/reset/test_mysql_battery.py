"""MariaDB comes back from every kind of change that a test can make, one by one and combined."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field

import pytest

from dockwright.errors import StackError
from dockwright.reset.mysql import MysqlReset
from dockwright.reset.mysql.session import Access
from tests._support.owned import Owned
from tests._support.reset.battery import Change, combinations, rows
from tests._support.reset.mysql_changes import CHANGES, SEED, Held, Step
from tests._support.reset.services import RealService, assert_same, start
from tests.reset.test_mysql_reset import CHECK, ENVIRONMENT, IMAGE, dump, sql
from tests.reset.test_mysql_reset import SEED as SHOP

pytestmark = pytest.mark.engine

UNSEEN_IN_DUMPS = """
SELECT id, single + 0E0, wide, HEX(flags), HEX(raw), ST_AsText(place), kind + 0,
  UNIX_TIMESTAMP(at), zero, hidden, twice, HEX(note) FROM shop.exact;
SELECT *, row_start, row_end FROM shop.kept FOR SYSTEM_TIME ALL ORDER BY row_end;
SELECT * FROM shop.periods FOR SYSTEM_TIME ALL;
SELECT plugin_name FROM information_schema.plugins WHERE plugin_status = 'ACTIVE' ORDER BY 1;
SELECT COUNT(*) FROM mysql.general_log; SELECT COUNT(*) FROM mysql.slow_log;
SELECT * FROM mysql.servers; SELECT * FROM mysql.func; SELECT * FROM mysql.plugin;
SELECT * FROM mysql.table_stats; SELECT * FROM mysql.column_stats;
SELECT next_not_cached_value FROM shop.numbers;
SELECT COUNT(*) FROM information_schema.metadata_lock_info WHERE lock_type = 'User lock';
SELECT COUNT(*) FROM information_schema.innodb_trx;
SHOW ALL SLAVES STATUS;
"""


@dataclass(slots=True)
class Server:
    """A server with a baseline, and what was seen of it then."""

    service: RealService
    strategy: MysqlReset
    clients: ExitStack = field(default_factory=ExitStack)

    def state(self) -> str:
        """Return all that can be seen of the server."""
        return dump(self.service) + sql(self.service, UNSEEN_IN_DUMPS)

    def settle(self) -> None:
        """Reset until the next reset has to find by itself that something was changed."""
        self.clients.close()
        for _ in range(6):
            if not self.strategy.reset():
                return
            time.sleep(0.15)  # InnoDB shows its transactions again after 0.1 s of silence
        pytest.fail("there is always something to reset")

    def change(self, steps: Sequence[Step]) -> None:
        """Do what the row says."""
        for step in steps:
            client = Access.of(self.service).connect()
            client.rows("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")  # another's lock
            if isinstance(step, Held):
                self.clients.callback(client.close)
                for statement in step.statements:
                    client.rows(statement)
            else:
                with closing(client):
                    client.rows(step)


@dataclass(slots=True)
class Bench:
    """Starts a server when one is needed: the first time, and after a failure."""

    owned: Owned
    current: Server | None = None
    baseline: str = ""

    def server(self) -> Server:
        if self.current is None:
            service = start(self.owned, IMAGE, check=CHECK, env=ENVIRONMENT)
            sql(service, SHOP + SEED)
            self.current = Server(service, MysqlReset(service))
            self.current.strategy.capture()
            self.baseline = self.current.state()
        self.current.settle()
        return self.current

    def discard(self) -> None:
        if self.current is not None:
            self.current.clients.close()
            self.current.strategy.close()
            self.owned.engine.remove_container(self.current.service.container())
        self.current = None

    def try_out(self, *changes: Change[Sequence[Step]]) -> None:
        """Make changes and reset: the server is what it was."""
        server = self.server()
        try:
            for change in changes:
                # What came before may have made it impossible.
                with suppress(StackError) if len(changes) > 1 else nullcontext():
                    server.change(change.commands)
            server.strategy.reset()
            assert_same(self.baseline, server.state())
        except BaseException:
            self.discard()
            raise


@pytest.fixture(scope="module")
def bench(owned_by_module: Owned) -> Iterator[Bench]:
    bench = Bench(owned_by_module)
    yield bench
    bench.discard()


@pytest.mark.parametrize("change", rows(CHANGES, sample=4))
def test_a_change_is_undone(bench: Bench, change: Change[Sequence[Step]]) -> None:
    bench.try_out(change)


@pytest.mark.parametrize("changes", combinations(CHANGES, sample=2, full=30))
def test_changes_together_are_undone(
    bench: Bench, changes: Sequence[Change[Sequence[Step]]]
) -> None:
    bench.try_out(*changes)
