"""Brings a MySQL or MariaDB server back while it runs.

Rows are compared by checksum and copied back from copies that our own schema holds; a schema whose
definitions changed is loaded again from a dump, which lies in the container.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass

from dockwright._text import counted
from dockwright.errors import StackBrokenError, StackError
from dockwright.model import Trace
from dockwright.reset.base import Manner, Resettable, check_options, until_none
from dockwright.reset.mysql import schemas
from dockwright.reset.mysql.schemas import (
    OURS,
    VOLATILE,
    Baseline,
    Dumps,
    Table,
    capture,
    prepare,
)
from dockwright.reset.mysql.server import empty_logs
from dockwright.reset.mysql.session import (
    Access,
    MysqlSession,
    enter,
    quoted,
    shows_locks,
    text,
)
from dockwright.reset.session import ConnectionLostError

_KILLED = """
SELECT COUNT(*) FROM information_schema.processlist
WHERE id <> CONNECTION_ID() AND command = 'Killed'
"""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Restoration:
    """One way back.

    Args:
        session: root's session at the dirty server.
        dumps: what the schemas were.
        baseline: what the rest was.
        curious: whether to count rows.
    """

    def __init__(
        self, session: MysqlSession, dumps: Dumps, baseline: Baseline, *, curious: bool = False
    ) -> None:
        self._curious = curious
        self._session = session
        self._dumps = dumps
        self._baseline = baseline
        self._tables = list(baseline.copies)
        self.undone: list[Trace] = []
        """What was different."""

    def expel(self) -> None:
        """End all connections but ours, and with them transactions and locks."""
        prepare(self._session)
        self._session.rows(f"CALL {OURS}.expel()")
        until_none(lambda: int(self._session.rows(_KILLED)[0][0]), "connections")
        for form, length, _, data in self._session.rows("XA RECOVER"):
            name, branch = data[: int(length)], data[int(length) :]
            self._session.rows(f"XA ROLLBACK {text(name)}, {text(branch)}, {form}")

    def restore_variables(self) -> None:
        """Set global variables back.

        Raises:
            StackBrokenError: one cannot be set while the server runs.
        """
        wanted = self._baseline.variables
        for name, value in schemas.variables(self._session).items():
            if wanted.get(name, value) != value:
                self.undone.append(Trace("setting", name, "changed"))
                literal = wanted[name] if _NUMBER.fullmatch(wanted[name]) else text(wanted[name])
                self._session.rows(f"SET GLOBAL {name} = {literal}")
        now = schemas.variables(self._session)
        if changed := [name for name in wanted if now.get(name) != wanted[name]]:
            raise StackBrokenError(f"variables were changed for good: {', '.join(changed)}")

    def run(self, *, same_definitions: bool) -> bool:
        """Bring everything back; nobody is connected.

        Args:
            same_definitions: whether it is known that no definition was changed.

        Returns:
            Whether a dump was loaded.

        Raises:
            StackBrokenError: something was changed that cannot be undone.
            StackError: the server refused, or is gone.
        """
        self._baseline.server.put_back(self._session)
        known = self._baseline.definitions
        unknown = [each for each in schemas.schema_names(self._session) if each not in known]
        users = self._changed([each for each in self._tables if each.holds_users])
        self._copy_rows(users)
        stale = set() if same_definitions else self._changed_schemas()
        present = [each for each in self._tables if not each.holds_users]
        changed = self._changed([each for each in present if each.schema not in stale])
        self.undone += [Trace("schema", name, "added") for name in unknown]
        self.undone += [Trace("schema", name, "changed") for name in sorted(stale)]
        self.undone += [
            Trace("table", table.full_name.replace("`", ""), self._rows_changed(table))
            for table in [*users, *changed]
        ]
        stale |= {table.schema for table in changed if not table.plain or self._unreadable(table)}
        self._copy_rows([table for table in changed if table.schema not in stale])
        self._load(sorted(stale), [table for table in present if table.schema in stale])
        self._restore_counters()
        for sequence, value in self._baseline.sequences.items():
            if schemas.next_value(self._session, sequence) != value:
                self.undone.append(Trace("sequence", sequence.replace("`", ""), "advanced"))
                schemas.restart(self._session, sequence, value)
        empty_logs(self._session)
        return bool(stale)

    def _changed_schemas(self) -> set[str]:
        wanted = self._baseline.definitions
        existing = schemas.schema_names(self._session)
        for name in existing:
            if name not in wanted:
                self._session.rows(f"DROP DATABASE {quoted(name)}")
        return {name for name in wanted if name not in existing or not self._is_as_it_was(name)}

    def _is_as_it_was(self, schema: str) -> bool:
        return schemas.definitions(self._session, schema) == self._baseline.definitions[schema]

    def _changed(self, tables: list[Table]) -> list[Table]:
        now = schemas.checksums(self._session, tables)
        return [each for each in tables if now[each] != self._baseline.checksums[each]]

    def _rows_changed(self, table: Table) -> str:
        """Return in words by how many rows a table differs from its copy, if that was asked for."""
        if not self._curious or self._unreadable(table):
            return "changed"
        [(now, then)] = self._session.rows(
            f"SELECT (SELECT COUNT(*) FROM {table.rows}),"
            f" (SELECT COUNT(*) FROM {self._baseline.copies[table]})"
        )
        return rows_changed(int(now) - int(then))

    def _unreadable(self, table: Table) -> bool:
        """Return whether its rows are out of reach, as after DISCARD TABLESPACE."""
        return schemas.checksums(self._session, [table])[table] == "NULL"

    def _load(self, names: list[str], tables: list[Table]) -> None:
        for schema in names:
            self._dumps.load(schema)
        self._copy_rows(tables)
        for schema in names:
            self._dumps.activate(schema)
            if not self._is_as_it_was(schema):
                raise StackBrokenError(f"schema {schema} could not be made what it was")
        if different := self._changed(tables):
            lost = ", ".join(table.full_name for table in different)
            raise StackBrokenError(f"rows could not be made what they were: {lost}")

    def _copy_rows(self, tables: list[Table]) -> None:
        if not tables:
            return
        self._session.rows("START TRANSACTION")
        for table in tables:
            columns = ", ".join(map(quoted, table.columns))
            self._session.rows(f"DELETE FROM {table.full_name}")
            self._session.rows(
                f"INSERT INTO {table.full_name} ({columns})"
                f" SELECT {columns} FROM {self._baseline.copies[table]}"
            )
        self._session.rows("COMMIT")
        if any(table.holds_users for table in tables):
            self._session.rows("FLUSH PRIVILEGES")

    def _restore_counters(self) -> None:
        now = schemas.counters(self._session)
        for (schema, name), value in self._baseline.counters.items():
            if schema in self._baseline.definitions and now.get((schema, name)) != value:
                self._session.rows(
                    f"ALTER TABLE {quoted(schema)}.{quoted(name)} AUTO_INCREMENT = {value}"
                )


_LASTING_S = 0.12
"""A connection that is being closed still counts for a moment, and InnoDB shows its transactions as
they were before to who asks more often than ten times a second."""

_OPEN = """
SELECT p.id FROM information_schema.innodb_trx t
JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.id <> CONNECTION_ID() AND p.command = 'Sleep'
"""
# FTWRL: what FLUSH TABLES WITH READ LOCK holds.
_HELD = """
SELECT DISTINCT p.id, LOWER(lock_type),
  CONCAT_WS('.', NULLIF(table_schema, ''), NULLIF(table_name, ''))
FROM information_schema.metadata_lock_info l
JOIN information_schema.processlist p ON p.id = l.thread_id
WHERE p.id <> CONNECTION_ID() AND p.command = 'Sleep'
  AND (lock_type IN ('User lock', 'Table metadata lock') OR lock_mode LIKE 'MDL_BACKUP_FTWRL%')
"""


def left_open(session: MysqlSession) -> list[Trace]:
    """Return the transactions and locks of connections that do nothing at the moment."""
    found = _left_open(session)
    if found:
        time.sleep(_LASTING_S)
        found = _left_open(session)
    prepared = session.rows("XA RECOVER")
    found += [Trace("prepared transaction", data) for *_, data in prepared]
    return found


def _left_open(session: MysqlSession) -> list[Trace]:
    busy = {number for (number,) in session.rows(_OPEN)}
    held = session.rows(_HELD) if shows_locks(session) else []
    return [
        *(Trace("transaction", "", f"left open by connection {each}") for each in sorted(busy)),
        *(
            Trace("lock", name, f"{kind}, held by connection {number}")
            for number, kind, name in held
            if not (kind == "table metadata lock" and number in busy)  # the transaction's own
        ),
    ]


def rows_changed(more: int) -> str:
    """Return in words how the number of a table's rows has changed."""
    if not more:
        return "rows changed"
    return f"{counted(abs(more), 'row')} {'added' if more > 0 else 'deleted'}"


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
_LOCKED = """
SELECT COUNT(*) FROM information_schema.metadata_lock_info
WHERE lock_type = 'User lock' AND thread_id <> CONNECTION_ID()
"""


@dataclass(frozen=True, slots=True)
class ActivityCounters:
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
    def take(cls, session: MysqlSession) -> ActivityCounters | None:
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


def _locked(session: MysqlSession) -> bool:
    return shows_locks(session) and session.rows(_LOCKED) != [("0",)]


log = logging.getLogger(__name__)


class MysqlReset:
    """Resets a service that is a MySQL or MariaDB server with a known root password."""

    manner: Manner = "in place"
    owns = re.compile(
        r".*/|#.*|(ib|undo|aria|binlog|ddl).*|.*-(bin|relay).*|.*\.(ibd|pid|err|log|sock|lock)"
        r"|auto\.cnf|mysql_upgrade_info|multi-master\.info|mysqld-auto\.cnf"
    )

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._access: Access
        self._session: MysqlSession | None = None
        self._baseline: Baseline
        self.undone: list[Trace] = []
        self.curious = False
        self._pulse: ActivityCounters | None = None  # None: unknown whether something was written

    def capture(self) -> None:
        """Copy all tables, dump all schemas, remember the rest.

        Raises:
            StackError: no connection as root, or a state that cannot be copied.
        """
        with self._lock:
            self._disconnect()
            self._access, session = enter(self._service)
            self._session = session
            before = ActivityCounters.take(session)
            self._baseline = capture(session, Dumps(self._access))
            self._pulse = before if ActivityCounters.take(session) == before else None

    def reset(self) -> bool:
        """Bring the server back, unless nothing was written to it.

        Returns:
            Whether its clients lost their connections.

        Raises:
            StackBrokenError: it could not.
        """
        with self._lock:
            try:
                return self._bring_back()
            except StackError as failure:
                name = self._service.spec.name
                raise StackBrokenError(
                    f"service {name}: cannot be reset in place: {failure.message}"
                ) from failure

    def untouched(self) -> bool:
        """Return whether surely nothing was written to the server."""
        with self._lock:
            try:
                return self._shows_nothing(self._look()[1])
            except StackError as failure:
                log.debug("reset.mysql.untouched %s: %s", self._service.spec.name, failure)
                return False

    def close(self) -> None:
        """End the connection."""
        self._disconnect()

    def _shows_nothing(self, pulse: ActivityCounters | None) -> bool:
        return pulse is not None and pulse == self._pulse

    def _bring_back(self) -> bool:
        self.undone = []
        session, pulse = self._look()
        if self._shows_nothing(pulse):
            return False
        restoration = Restoration(
            session, Dumps(self._access), self._baseline, curious=self.curious
        )
        if self.curious:
            restoration.undone += left_open(session)
        restoration.expel()
        restoration.restore_variables()
        pulse = ActivityCounters.take(session)
        same_definitions = (
            pulse is not None
            and self._pulse is not None
            and pulse.definitions == self._pulse.definitions
        )
        loaded = restoration.run(same_definitions=same_definitions)
        self.undone = restoration.undone
        # The client that loads a dump counts as somebody else.
        self._pulse = None if loaded else pulse
        return True

    def _look(self) -> tuple[MysqlSession, ActivityCounters | None]:
        if self._session is not None:
            try:
                return self._session, ActivityCounters.take(self._session)
            except ConnectionLostError as loss:  # restarted, or ended by the test
                log.debug("reset.mysql.lost service=%s: %s", self._service.spec.name, loss)
                self._disconnect()
        self._pulse = None
        session = self._session = self._access.connect()
        return session, None

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
