"""Tells whether anything was written to a MySQL server by others than ourselves."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.reset.mysql.schemas import VOLATILE
from dockwright.reset.mysql.session import Session

_READING = (
    "select|show_.*|explain_.*|explain|help|do|call_procedure|change_db|empty_query|admin_commands|"
    "set_option|begin|commit|rollback|savepoint|release_savepoint|rollback_to_savepoint|"
    "stmt_.*|prepare_sql|execute_sql|execute_immediate|dealloc_sql|multi|unlock_tables|"
    "kill|signal|resignal|get_diagnostics|compound_sql|check|checksum|binlog|"
    "create_temporary_table|drop_temporary_table"
)
"""Statements that only read, or whose effect shows in variables or transactions.

Those that write rows are not among them: ``DELETE`` without ``WHERE`` empties tables of some
engines without counting a row.
"""

_COUNTERS = f"""
SELECT LOWER(g.variable_name), g.variable_value - s.variable_value
FROM information_schema.global_status g
JOIN information_schema.session_status s ON g.variable_name = s.variable_name
WHERE g.variable_name RLIKE '^(com_|handler_(write|update|delete)$)'
AND LOWER(g.variable_name) NOT RLIKE '^com_({_READING})$'
"""
_DEFINING = ("com_create", "com_alter", "com_drop", "com_rename", "com_install", "com_uninstall")

_VARIABLES = f"""
SELECT MD5(GROUP_CONCAT(variable_name, '=', variable_value ORDER BY variable_name))
FROM information_schema.global_variables
WHERE LOWER(variable_name) NOT RLIKE '^({VOLATILE})'
"""

# InnoDB shows its transactions as they were before, to who asks more often than ten times a second:
# those of connections that have ended meanwhile do not count, prepared ones (0) do.
_BUSY = """
SELECT (SELECT COUNT(*) FROM information_schema.innodb_trx
        WHERE trx_mysql_thread_id = 0 OR trx_mysql_thread_id IN
          (SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()))
     + (SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID()
        AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump'))
"""
_SHOWS_LOCKS = """
SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'METADATA_LOCK_INFO'
"""
_LOCKED = """
SELECT COUNT(*) FROM information_schema.metadata_lock_info
WHERE lock_type = 'User lock' AND thread_id <> CONNECTION_ID()
"""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What others have done since the server's start.

    Every row that is written, in a table of any kind, counts as a `handler_...`; every statement
    that changes a definition counts as a `com_...`. MariaDB keeps the counters of a connection
    until it ends, and adds all up when it is asked: nothing is late or lost.

    Attributes:
        writes: counters of what changes rows and all else.
        definitions: counters of what changes definitions.
        variables: a hash of the global variables.
    """

    writes: tuple[tuple[str, str], ...]
    definitions: tuple[tuple[str, str], ...]
    variables: str

    @classmethod
    def take(cls, session: Session) -> Pulse | None:
        """Return it; None while others are at work, or where it was not shown to be sure."""
        [(version,)] = session.rows("SELECT VERSION()")
        if "MariaDB" not in version:
            return None
        rows = sorted((name, value) for name, value in session.rows(_COUNTERS))
        [(busy,)] = session.rows(_BUSY)
        if busy != "0" or _locked(session):
            return None
        [(variables,)] = session.rows(_VARIABLES)
        defining = [row for row in rows if row[0].startswith(_DEFINING)]
        return cls(
            writes=tuple(row for row in rows if row not in defining),
            definitions=tuple(defining),
            variables=variables,
        )


def shows_locks(session: Session) -> bool:
    """Return whether the server shows who holds a `GET_LOCK`."""
    return bool(session.rows(_SHOWS_LOCKS))


def _locked(session: Session) -> bool:
    return shows_locks(session) and session.rows(_LOCKED) != [("0",)]
