"""What a MySQL server was when it was captured."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.errors import StackError
from dockwright.reset.mysql import schemas
from dockwright.reset.mysql.dumps import Dumps
from dockwright.reset.mysql.schemas import OURS, Table, quoted
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
    """

    definitions: dict[str, dict[str, str]]
    copies: dict[Table, str]
    checksums: dict[Table, str]
    counters: dict[tuple[str, str], str]
    variables: dict[str, str]
    sequences: dict[str, str]


def prepare(session: Session) -> None:
    """Make a session's own settings fit for copying rows as they are."""
    session.rows(
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, unique_checks = 0"
    )
    [(version,)] = session.rows("SELECT VERSION()")
    if "MariaDB" not in version:
        session.rows("SET SESSION information_schema_stats_expiry = 0")


def capture(session: Session, dumps: Dumps) -> Baseline:
    """Copy and dump everything.

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
        session.rows(f"CREATE TABLE {copy} AS SELECT {columns} FROM {table.full_name}")
    return Baseline(
        definitions={name: schemas.definitions(session, name) for name in names},
        copies=copies,
        checksums=schemas.checksums(session, tables),
        counters=schemas.counters(session),
        variables=schemas.variables(session),
        sequences=sequences,
    )


def _settled(session: Session, sequence: str) -> str:
    [(value,)] = session.rows(f"SELECT NEXTVAL({sequence})")
    schemas.restart(session, sequence, value)
    return value
