"""What a MySQL server was when it was captured."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.errors import StackError
from dockwright.reset.mysql import schemas
from dockwright.reset.mysql.dumps import Dumps
from dockwright.reset.mysql.pulse import shows_locks
from dockwright.reset.mysql.schemas import OURS, Table, quoted
from dockwright.reset.mysql.server import Server, empty_logs
from dockwright.reset.mysql.session import Session

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


def prepare(session: Session) -> None:
    """Make a session fit for copying rows as they are, whatever the global variables say."""
    known = {name for name, _ in session.rows("SHOW SESSION VARIABLES")}
    settings = [f"{name} = {value}" for name, value in _SETTINGS.items() if name in known]
    session.rows(f"SET SESSION {', '.join(settings)}")
    [(version,)] = session.rows("SELECT VERSION()")
    if "MariaDB" in version and not shows_locks(session):
        session.rows(_SHOW_LOCKS)


def capture(session: Session, dumps: Dumps) -> Baseline:
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
    names = schemas.schema_names(session)
    sequences = {each: _settled(session, each) for each in schemas.sequences(session)}
    for name in names:
        dumps.save(name)
    tables = schemas.tables(session, names)
    copies = {table: f"{OURS}.copy_{number}" for number, table in enumerate(tables)}
    for table, copy in copies.items():
        columns = ", ".join(map(quoted, table.columns))
        session.rows(f"CREATE TABLE {copy} AS SELECT {columns} FROM {table.rows}")
    empty_logs(session)
    return Baseline(
        definitions={name: schemas.definitions(session, name) for name in names},
        copies=copies,
        checksums=schemas.checksums(session, tables),
        counters=schemas.counters(session),
        variables=schemas.variables(session),
        sequences=sequences,
        server=Server.take(session),
    )


def _settled(session: Session, sequence: str) -> str:
    [(value,)] = session.rows(f"SELECT NEXTVAL({sequence})")
    schemas.restart(session, sequence, value)
    return value
