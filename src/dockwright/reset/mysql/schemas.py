"""What a MySQL server holds: definitions of all kinds, tables with their contents, variables."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from dockwright.errors import EngineError, StackError
from dockwright.reset.mysql.server import Server, empty_logs
from dockwright.reset.mysql.session import Access, MysqlSession, quoted, shows_locks, text

OURS = "dockwright"
"""The schema that holds the copies of tables."""

_SYSTEM = ("mysql", "information_schema", "performance_schema", "sys", OURS)

_USER_TABLES = (
    "user", "global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv",
    "roles_mapping", "role_edges", "default_roles", "global_grants", "password_history",
    "servers",
)  # fmt: skip
"""The tables of the schema ``mysql`` that hold users, privileges and the like, in some version."""

VOLATILE = "gtid_|.*_gtid_|binlog_gtid|innodb_buffer_pool_(load|dump)_|.*timestamp$|server_uid$"
"""Variables that the server changes by itself, as a regular expression for both sides."""

_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=\d+")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with contents.

    Attributes:
        schema: where it is.
        name: its name.
        columns: those that can be written.
        plain: whether its rows can be replaced without side effects: no triggers, no history.
        versioned: whether the server keeps the history of its rows.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    plain: bool
    versioned: bool

    @property
    def holds_users(self) -> bool:
        """Whether it is one of the server's own, with users or privileges."""
        return self.schema == "mysql"

    @property
    def full_name(self) -> str:
        """Its name in SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def rows(self) -> str:
        """All its rows in SQL, with those of the past."""
        return self.full_name + (" FOR SYSTEM_TIME ALL" if self.versioned else "")


def schema_names(session: MysqlSession) -> list[str]:
    """Return the schemas that are not the server's, nor ours."""
    return [name for (name,) in session.rows("SHOW DATABASES") if name not in _SYSTEM]


def definitions(session: MysqlSession, schema: str) -> dict[str, str]:
    """Return how everything in a schema is defined: statements by kind and name."""
    inside = f"WHERE {{}}_schema = {text(schema)}"
    queries = {
        "table": f"SELECT table_name, table_type FROM information_schema.tables"
        f" {inside.format('table')}",
        "routine": f"SELECT routine_name, routine_type FROM information_schema.routines"
        f" {inside.format('routine')}",
        "trigger": f"SELECT trigger_name, 'TRIGGER' FROM information_schema.triggers"
        f" {inside.format('trigger')}",
        "event": f"SELECT event_name, 'EVENT' FROM information_schema.events"
        f" {inside.format('event')}",
    }
    found = {"schema": "\n".join(*session.rows(f"SHOW CREATE DATABASE {quoted(schema)}"))}
    for query in queries.values():
        for name, kind in session.rows(query):
            word = {"BASE TABLE": "TABLE", "SYSTEM VERSIONED": "TABLE"}.get(kind, kind)
            [row] = session.rows(f"SHOW CREATE {word} {quoted(schema)}.{quoted(name)}")
            # A trigger's row ends with the time when it was made.
            shown = "\n".join(row[:6] if kind == "TRIGGER" else row)
            found[f"{kind} {name}"] = _AUTO_INCREMENT.sub("", shown)
    return found


def tables_of(session: MysqlSession, schemas: Collection[str]) -> list[Table]:
    """Return the tables in schemas, and those that hold users and privileges."""
    triggered = {
        (schema, name)
        for schema, name in session.rows(
            "SELECT event_object_schema, event_object_table FROM information_schema.triggers"
        )
    }
    wanted = ", ".join(map(text, [*schemas, "mysql"]))
    found: dict[tuple[str, str, str], list[str]] = {}
    periods: dict[tuple[str, str, str], list[str]] = {}
    for schema, name, kind, column, extra, expression in session.rows(
        f"""SELECT t.table_schema, t.table_name, t.table_type, c.column_name, c.extra,
        c.generation_expression
        FROM information_schema.tables t JOIN information_schema.columns c
        ON t.table_schema = c.table_schema AND t.table_name = c.table_name
        WHERE t.table_schema IN ({wanted})
        AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
        ORDER BY t.table_schema, t.table_name, c.ordinal_position"""
    ):
        table = schema, name, kind
        columns = found.setdefault(table, [])
        if expression in ("ROW START", "ROW END"):
            periods.setdefault(table, []).append(column)
        elif "GENERATED" not in extra.replace("DEFAULT_GENERATED", ""):
            columns.append(column)
    for table, columns in found.items():
        if table[2] == "SYSTEM VERSIONED":
            columns += periods.get(table, ["row_start", "row_end"])
    return [
        Table(
            schema,
            name,
            tuple(columns),
            plain=kind == "BASE TABLE" and (schema, name) not in triggered,
            versioned=kind == "SYSTEM VERSIONED",
        )
        for (schema, name, kind), columns in found.items()
        if schema != "mysql" or name in _USER_TABLES
    ]


def checksums(session: MysqlSession, names: Collection[Table]) -> dict[Table, str]:
    """Return a checksum of each table's contents; two that differ have the same 1 time in 2³²."""
    if not names:
        return {}
    rows = session.rows(f"CHECKSUM TABLE {', '.join(each.full_name for each in names)}")
    return {table: checksum for table, (_, checksum) in zip(names, rows, strict=True)}


def counters(session: MysqlSession) -> dict[tuple[str, str], str]:
    """Return the next AUTO_INCREMENT value of each table that has one."""
    return {
        (schema, name): value
        for schema, name, value in session.rows(
            "SELECT table_schema, table_name, auto_increment FROM information_schema.tables"
            " WHERE auto_increment IS NOT NULL"
        )
    }


def sequences_of(session: MysqlSession) -> list[str]:
    """Return the full names of the sequences, which only MariaDB has."""
    return [
        f"{quoted(schema)}.{quoted(name)}"
        for schema, name in session.rows(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'SEQUENCE'"
        )
    ]


def next_value(session: MysqlSession, sequence: str) -> str:
    """Return the value from which a sequence takes its next ones."""
    [(value,)] = session.rows(f"SELECT next_not_cached_value FROM {sequence}")
    return value


def restart(session: MysqlSession, sequence: str, value: str) -> None:
    """Make a sequence give `value` next, and forget the values that it has taken ahead.

    The next one is then written, which counts; those that follow may not be.
    """
    session.rows(f"ALTER SEQUENCE {sequence} RESTART {value}")


def variables(session: MysqlSession) -> dict[str, str]:
    """Return the global variables that only users change."""
    return {
        row[0]: row[1]
        for row in session.rows("SHOW GLOBAL VARIABLES")
        if not re.match(VOLATILE, row[0])
    }


_DUMP = (
    'umask 077; file=$1; shift; exec "$(command -v mariadb-dump || command -v mysqldump)"'
    ' --no-defaults "$@" > "$file"'
)
_LOAD = (
    'file=$1; shift; exec "$(command -v mariadb || command -v mysql)" --no-defaults "$@" < "$file"'
)
_ACTIVE = "-active"
_TIMEOUT_S = 600.0


class Dumps:
    """Writes and loads them.

    Args:
        access: how the server is reached.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def save(self, schema: str) -> None:
        """Dump how a schema and all that is in it is defined.

        Rows are not dumped: as texts, some would lose digits.

        Raises:
            StackError: the program is missing, or failed.
        """
        options = ("--no-data", "--databases", schema)
        self._run(
            _DUMP, schema, "", "--add-drop-database", "--routines", "--skip-triggers", *options
        )
        self._run(_DUMP, schema, _ACTIVE, "--no-create-info", "--triggers", "--events", *options)

    def load(self, schema: str) -> None:
        """Replace a schema by what was dumped; its tables are empty, nothing happens by itself.

        Raises:
            StackError: the dump is gone, or cannot be loaded.
        """
        self._run(_LOAD, schema, "")

    def activate(self, schema: str) -> None:
        """Load the schema's triggers and events, once its tables have their rows."""
        self._run(_LOAD, schema, _ACTIVE)

    def _run(self, script: str, schema: str, part: str, *options: str) -> None:
        access = self._access
        file = f"/tmp/dockwright-{schema.encode().hex()}{part}.sql"  # noqa: S108 - in the container
        command = ["sh", "-c", script, "sh", file, *access.options, *options]
        environment = {"MYSQL_PWD": access.password} if access.password else {}
        try:
            result = access.service.engine.exec(
                access.service.container(),
                command,
                user=access.runs_as,
                env=environment,
                timeout_s=_TIMEOUT_S,
            )
        except EngineError as exc:
            raise StackError(f"schema {schema}: {exc.message}") from exc
        if result.exit_code:
            said = result.stderr.decode(errors="replace").strip()
            raise StackError(f"schema {schema}: {said or f'exit code {result.exit_code}'}")


_EXPEL = f"""
CREATE PROCEDURE {OURS}.expel()
BEGIN
  DECLARE finished BOOLEAN DEFAULT FALSE;
  DECLARE victim BIGINT UNSIGNED;
  DECLARE others CURSOR FOR SELECT id FROM information_schema.processlist
    WHERE id <> CONNECTION_ID() AND command NOT IN ('Daemon', 'Binlog Dump')
    AND user NOT IN ('system user', 'event_scheduler');
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET finished = TRUE;
  DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;  -- it has gone by itself
  OPEN others;
  victims: LOOP
    FETCH others INTO victim;
    IF finished THEN LEAVE victims; END IF;
    KILL victim;
  END LOOP;
  CLOSE others;
END
"""


_SETTINGS = {
    # Values are copied as they are...
    "sql_mode": "'NO_AUTO_VALUE_ON_ZERO'",
    "time_zone": "'+00:00'",  # elsewhere an hour of each year comes twice
    "foreign_key_checks": "0",
    "unique_checks": "0",
    "check_constraint_checks": "0",
    "innodb_strict_mode": "0",
    "default_storage_engine": "'InnoDB'",
    "system_versioning_insert_history": "1",
    # ... all of them...
    "sql_safe_updates": "0",
    "sql_select_limit": "18446744073709551615",
    "group_concat_max_len": "1073741824",
    "information_schema_stats_expiry": "0",
    # ... and nothing stops us, or lets us wait for ever.
    "autocommit": "1",
    "tx_read_only": "0",
    "transaction_read_only": "0",
    "max_statement_time": "0",
    "max_execution_time": "0",
    "wait_timeout": "28800",
    "lock_wait_timeout": "30",
    "innodb_lock_wait_timeout": "30",
}
"""The variables of our own sessions; one that a server does not have is left out."""

_SHOW_LOCKS = """
BEGIN NOT ATOMIC
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;  -- not every image has this plugin
  INSTALL SONAME 'metadata_lock_info';
  DELETE FROM mysql.plugin WHERE name = 'METADATA_LOCK_INFO';
END
"""
"""Lets MariaDB show who holds a `GET_LOCK`, until it is restarted."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the server was.

    Attributes:
        definitions: by schema, how everything in it is defined.
        copies: the tables with contents, each with the name of its copy.
        checksums: of their contents.
        counters: the next AUTO_INCREMENT values, by schema and table.
        variables: the global variables.
        sequences: the next value of each, by full name.
        server: what was added to the server itself.
    """

    definitions: dict[str, dict[str, str]]
    copies: dict[Table, str]
    checksums: dict[Table, str]
    counters: dict[tuple[str, str], str]
    variables: dict[str, str]
    sequences: dict[str, str]
    server: Server


def prepare(session: MysqlSession) -> None:
    """Make a session fit for copying rows as they are, whatever the global variables say."""
    known = {name for name, _ in session.rows("SHOW SESSION VARIABLES")}
    settings = [f"{name} = {value}" for name, value in _SETTINGS.items() if name in known]
    session.rows(f"SET SESSION {', '.join(settings)}")
    [(version,)] = session.rows("SELECT VERSION()")
    if "MariaDB" in version and not shows_locks(session):
        session.rows(_SHOW_LOCKS)


def capture(session: MysqlSession, dumps: Dumps) -> Baseline:
    """Copy and dump everything; log tables are emptied.

    Raises:
        StackError: there are prepared transactions, or something cannot be dumped.
    """
    if session.rows("XA RECOVER"):
        raise StackError("prepared transactions (XA) cannot be kept")
    prepare(session)
    session.rows(f"DROP DATABASE IF EXISTS {OURS}")
    session.rows(f"CREATE DATABASE {OURS}")
    session.rows(_EXPEL)
    names = schema_names(session)
    sequences = {each: _settled(session, each) for each in sequences_of(session)}
    for name in names:
        dumps.save(name)
    tables = tables_of(session, names)
    copies = {table: f"{OURS}.copy_{number}" for number, table in enumerate(tables)}
    for table, copy in copies.items():
        columns = ", ".join(map(quoted, table.columns))
        session.rows(f"CREATE TABLE {copy} AS SELECT {columns} FROM {table.rows}")
    empty_logs(session)
    return Baseline(
        definitions={name: definitions(session, name) for name in names},
        copies=copies,
        checksums=checksums(session, tables),
        counters=counters(session),
        variables=variables(session),
        sequences=sequences,
        server=Server.take(session),
    )


def _settled(session: MysqlSession, sequence: str) -> str:
    [(value,)] = session.rows(f"SELECT NEXTVAL({sequence})")
    restart(session, sequence, value)
    return value
