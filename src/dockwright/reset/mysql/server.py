"""What a MySQL server has besides its schemas: plugins, functions, replication, log tables."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.errors import StackBrokenError
from dockwright.reset.mysql.session import MysqlSession, quoted, text

_PLUGINS = """
SELECT plugin_name FROM information_schema.plugins
WHERE plugin_status = 'ACTIVE' AND plugin_name <> 'METADATA_LOCK_INFO'
"""
_STATISTICS = ("table_stats", "column_stats", "index_stats")
_LOGS = ("general_log", "slow_log")


@dataclass(frozen=True, slots=True)
class Server:
    """What was added to a server while it ran.

    Attributes:
        plugins: the names of the active plugins.
        functions: the names of the functions that were loaded from libraries.
        masters: the connections to other servers from which it replicates; only MariaDB has names.
        statistics: the tables of MariaDB's own statistics that have rows.
    """

    plugins: frozenset[str]
    functions: frozenset[str]
    masters: frozenset[str]
    statistics: frozenset[str]

    @classmethod
    def take(cls, session: MysqlSession) -> Server:
        """Ask the server."""
        [(version,)] = session.rows("SELECT VERSION()")
        is_mariadb = "MariaDB" in version
        masters = session.rows("SHOW ALL SLAVES STATUS") if is_mariadb else []
        return cls(
            plugins=frozenset(name for (name,) in session.rows(_PLUGINS)),
            functions=frozenset(name for (name,) in session.rows("SELECT name FROM mysql.func")),
            masters=frozenset(row[0] for row in masters),
            statistics=frozenset(
                name for name in _STATISTICS if is_mariadb and _has_rows(session, name)
            ),
        )

    def put_back(self, session: MysqlSession) -> None:
        """Remove what was added since.

        Raises:
            StackBrokenError: something is missing, which cannot be added again.
        """
        now = self.take(session)
        for name in now.masters - self.masters:
            session.rows(f"STOP SLAVE {text(name)}")
            session.rows(f"RESET SLAVE {text(name)} ALL")
        for name in now.functions - self.functions:
            session.rows(f"DROP FUNCTION {quoted(name)}")
        for name in now.plugins - self.plugins:
            session.rows(f"UNINSTALL PLUGIN {quoted(name)}")
        for name in now.statistics - self.statistics:
            session.rows(f"DELETE FROM mysql.{name}")
        now = self.take(session)
        for what in ("plugins", "functions", "masters"):
            before, after = getattr(self, what), getattr(now, what)
            if before != after:
                names = ", ".join(sorted(before ^ after))
                raise StackBrokenError(f"{what} were changed for good: {names}")


def empty_logs(session: MysqlSession) -> None:
    """Empty the tables to which the server logs statements."""
    for name in _LOGS:
        if _has_rows(session, name):
            session.rows(f"TRUNCATE TABLE mysql.{name}")


def _has_rows(session: MysqlSession, name: str) -> bool:
    return session.rows(f"SELECT COUNT(*) FROM mysql.{name}") != [("0",)]
