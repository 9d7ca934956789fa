"""What a MySQL server holds: definitions of all kinds, tables with their contents, variables."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from dockwright.reset.mysql.session import Session

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


def schema_names(session: Session) -> list[str]:
    """Return the schemas that are not the server's, nor ours."""
    return [name for (name,) in session.rows("SHOW DATABASES") if name not in _SYSTEM]


def definitions(session: Session, schema: str) -> dict[str, str]:
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


def tables(session: Session, schemas: Collection[str]) -> list[Table]:
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


def checksums(session: Session, names: Collection[Table]) -> dict[Table, str]:
    """Return a checksum of each table's contents; two that differ have the same 1 time in 2³²."""
    if not names:
        return {}
    rows = session.rows(f"CHECKSUM TABLE {', '.join(each.full_name for each in names)}")
    return {table: checksum for table, (_, checksum) in zip(names, rows, strict=True)}


def counters(session: Session) -> dict[tuple[str, str], str]:
    """Return the next AUTO_INCREMENT value of each table that has one."""
    return {
        (schema, name): value
        for schema, name, value in session.rows(
            "SELECT table_schema, table_name, auto_increment FROM information_schema.tables"
            " WHERE auto_increment IS NOT NULL"
        )
    }


def sequences(session: Session) -> list[str]:
    """Return the full names of the sequences, which only MariaDB has."""
    return [
        f"{quoted(schema)}.{quoted(name)}"
        for schema, name in session.rows(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'SEQUENCE'"
        )
    ]


def next_value(session: Session, sequence: str) -> str:
    """Return the value from which a sequence takes its next ones."""
    [(value,)] = session.rows(f"SELECT next_not_cached_value FROM {sequence}")
    return value


def restart(session: Session, sequence: str, value: str) -> None:
    """Make a sequence give `value` next, and forget the values that it has taken ahead.

    The next one is then written, which counts; those that follow may not be.
    """
    session.rows(f"ALTER SEQUENCE {sequence} RESTART {value}")


def variables(session: Session) -> dict[str, str]:
    """Return the global variables that only users change."""
    return {
        row[0]: row[1]
        for row in session.rows("SHOW GLOBAL VARIABLES")
        if not re.match(VOLATILE, row[0])
    }


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """Return a text as SQL has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
