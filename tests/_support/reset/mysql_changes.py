"""What a test can do to a MariaDB server: a row for each kind of state.

A string is a statement; `Held` are statements of a client that stays connected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests._support.reset.battery import Change


@dataclass(frozen=True, slots=True)
class Held:
    """Statements whose client stays."""

    statements: tuple[str, ...]


Step: TypeAlias = "str | Held"

SEED = """
USE shop;
CREATE TABLE exact (id INT PRIMARY KEY, single FLOAT, wide DOUBLE, flags BIT(9), raw VARBINARY(9),
  place POINT, doc JSON, kind ENUM('a', 'b'), at TIMESTAMP(6) NOT NULL, zero DATETIME DEFAULT 0,
  hidden INT INVISIBLE DEFAULT 7, twice INT AS (id * 2) VIRTUAL, note VARCHAR(20) CHARSET latin1);
SET time_zone = '+00:00', sql_mode = '';
INSERT INTO exact (id, single, wide, flags, raw, place, doc, kind, at, note) VALUES
  (1, 16777217, 0.1 + 0.2, b'101010101', x'00FF0A', POINT(0.1, 2), '{"a": [1, 2]}', 'nope',
   '2026-10-25 00:30:00', 'é'),
  (2, 1e-38, 1e308, 0, '', NULL, NULL, 'a', '2026-10-25 01:30:00', '');
CREATE TABLE kept (id INT PRIMARY KEY, note TEXT) WITH SYSTEM VERSIONING;
INSERT INTO kept VALUES (1, 'first');
UPDATE kept SET note = 'second';
CREATE TABLE periods (id INT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
  until TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, until))
  WITH SYSTEM VERSIONING;
INSERT INTO periods (id) VALUES (1);
DELETE FROM periods;
CREATE TABLE fleeting (a INT) ENGINE=MEMORY;
INSERT INTO fleeting VALUES (1);
CREATE TABLE archived (a INT NOT NULL) ENGINE=CSV AS SELECT 1 AS a;
CREATE TABLE zero (id INT AUTO_INCREMENT PRIMARY KEY);
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
INSERT INTO zero VALUES (0), (5);
"""


def _row(
    name: str, *steps: Step, always: bool = False, alone: bool = False
) -> Change[Sequence[Step]]:
    return Change(name, steps, always=always, alone=alone)


def _global(name: str, value: str) -> Change[Sequence[Step]]:
    return Change(f"global {name}", [f"SET GLOBAL {name} = {value}"])


CHANGES: list[Change[Sequence[Step]]] = [
    _row("float", "UPDATE shop.exact SET single = single + 2", always=True),
    _row("definition beside a float", "ALTER TABLE shop.exact ADD more INT", always=True),
    _row("double", "UPDATE shop.exact SET wide = 1"),
    _row("bits and bytes", "UPDATE shop.exact SET flags = 1, raw = x'0102'"),
    _row("geometry", "UPDATE shop.exact SET place = POINT(9, 9)"),
    _row("json", "UPDATE shop.exact SET doc = '{}' WHERE id = 1"),
    _row("enum error value", "UPDATE shop.exact SET kind = 'b'"),
    _row(
        "timestamp in the hour that comes twice",
        "DELETE FROM shop.exact",
        "SET GLOBAL time_zone = '+03:00'",
    ),
    _row("invisible column", "UPDATE shop.exact SET hidden = 8"),
    _row("history", "UPDATE shop.kept SET note = 'third'", always=True),
    _row("history deleted", "DELETE HISTORY FROM shop.kept"),
    _row(
        "history without a trace",
        "UPDATE shop.kept SET note = 'x'",
        "UPDATE shop.kept SET note = 'second'",
    ),
    _row("periods", "INSERT INTO shop.periods (id) VALUES (2)"),
    _row("versioning dropped", "ALTER TABLE shop.kept DROP SYSTEM VERSIONING"),
    _row("memory table", "DELETE FROM shop.fleeting"),
    _row("csv table", "INSERT INTO shop.archived VALUES (2)"),
    _row("aria table", "INSERT INTO shop.noted VALUES (77, 'x')"),
    _row("myisam table", "UPDATE shop.old_kind SET a = 9"),
    _row("zero in a counted column", "DELETE FROM shop.zero"),
    _row("counter", "INSERT INTO shop.zero VALUES (99)", "DELETE FROM shop.zero WHERE id = 99"),
    _row("counter set", "ALTER TABLE shop.customers AUTO_INCREMENT = 1000"),
    _row("sequence", "SELECT NEXTVAL(shop.numbers)"),
    _row("sequence set", "SELECT SETVAL(shop.numbers, 5000)"),
    _row("sequence dropped", "DROP SEQUENCE shop.numbers"),
    _row("rows inserted", "INSERT INTO shop.orders VALUES (NULL, 1, 1, NOW())"),
    _row("rows deleted by a foreign key", "DELETE FROM shop.customers WHERE id = 1"),
    _row("rows by a trigger", "INSERT INTO shop.watched VALUES (2)"),
    _row("rows by a procedure", "CALL shop.buy()"),
    _row("rows of a partition", "ALTER TABLE shop.parts TRUNCATE PARTITION p1"),
    _row("partitions", "ALTER TABLE shop.parts ADD PARTITION PARTITIONS 2"),
    _row("truncated", "TRUNCATE shop.old_kind"),
    _row("replaced", "REPLACE INTO shop.customers (id, name) VALUES (1, 'other')"),
    _row("rolled back", Held(("BEGIN", "DELETE FROM shop.noted", "ROLLBACK"))),
    _row("table made", "CREATE TABLE shop.more (a INT)"),
    _row("table made from another", "CREATE TABLE shop.more AS SELECT * FROM shop.orders"),
    _row("table dropped", "DROP TABLE shop.orders"),
    _row("table renamed", "RENAME TABLE shop.parts TO shop.pieces"),
    _row("table moved", "RENAME TABLE shop.parts TO `the other`.parts"),
    _row("engine", "ALTER TABLE shop.noted ENGINE=InnoDB"),
    _row("index", "CREATE INDEX by_total ON shop.orders (total)"),
    _row("constraint", "ALTER TABLE shop.parts ADD CHECK (id > 0)"),
    _row("comment", "ALTER TABLE shop.parts COMMENT 'x'"),
    _row(
        "character set of a column",
        "ALTER TABLE shop.exact MODIFY note VARCHAR(20) CHARSET utf8mb4",
    ),
    _row("tablespace discarded", "ALTER TABLE shop.exact DISCARD TABLESPACE"),
    _row("view", "CREATE OR REPLACE VIEW shop.totals AS SELECT 1"),
    _row("trigger", "DROP TRIGGER shop.watching"),
    _row("procedure", "DROP PROCEDURE shop.buy"),
    _row("function", "CREATE FUNCTION shop.f() RETURNS INT RETURN 1"),
    _row("event", "ALTER EVENT shop.nightly DISABLE"),
    _row(
        "event that ran",
        "CREATE EVENT shop.once ON SCHEDULE AT NOW() ON COMPLETION PRESERVE DO "
        "INSERT INTO shop.noted VALUES (5, 'x')",
        "SET GLOBAL event_scheduler = ON",
        "SELECT SLEEP(0.5)",
    ),
    _row("schema", "ALTER DATABASE shop CHARACTER SET latin1"),
    _row("schema made", "CREATE DATABASE another"),
    _row("schema dropped", "DROP DATABASE `the other`"),
    _row("user made", "CREATE USER intruder"),
    _row("user dropped", "DROP USER bystander@localhost"),
    _row("password", "SET PASSWORD FOR app@'%' = PASSWORD('x')"),
    _row("account locked", "ALTER USER app@'%' ACCOUNT LOCK"),
    _row("privileges", "GRANT ALL ON *.* TO app@'%'"),
    _row("column privileges", "REVOKE INSERT (total) ON shop.orders FROM app@'%'"),
    _row("role", "CREATE ROLE writer", "GRANT writer TO app@'%'"),
    _row("default role", "SET DEFAULT ROLE reader FOR app@'%'"),
    _row("privileges by rows", "UPDATE mysql.db SET Select_priv = 'N'", "FLUSH PRIVILEGES"),
    _row(
        "foreign server", "CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')"
    ),
    _row("plugin", "INSTALL SONAME 'query_response_time'"),
    _row("engine statistics", "ANALYZE TABLE shop.orders PERSISTENT FOR ALL"),
    _row(
        "general log", "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON", "SELECT 1"
    ),
    _row(
        "general log, off again",
        "SET GLOBAL log_output = 'TABLE'",
        "SET GLOBAL general_log = ON",
        "SELECT 1",
        "SET GLOBAL general_log = OFF",
        "SET GLOBAL log_output = 'FILE'",
        always=True,
    ),
    _row(
        "slow log",
        "SET GLOBAL log_output = 'TABLE', slow_query_log = ON",
        Held(("SET long_query_time = 0", "SELECT SLEEP(0.1)")),
    ),
    _row(
        "replication",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x'",
        always=True,
    ),
    _row(
        "replication by name",
        "CHANGE MASTER 'far' TO MASTER_HOST = '127.0.0.1', MASTER_USER = 'x'",
        "START SLAVE 'far'",
    ),
    _row("lock by name", Held(("SELECT GET_LOCK('x', 1)",)), always=True),
    _row("table lock", Held(("LOCK TABLES shop.customers WRITE",)), always=True),
    # Alone: some statements, such as SET DEFAULT ROLE, wait for these without end.
    _row("global read lock", Held(("FLUSH TABLES WITH READ LOCK",)), always=True, alone=True),
    _row("backup lock", Held(("BACKUP STAGE START",)), alone=True),
    _row("open transaction", Held(("BEGIN", "DELETE FROM shop.orders")), always=True),
    _row("open transaction that reads", Held(("BEGIN", "SELECT * FROM shop.orders FOR UPDATE"))),
    _row("open handler", Held(("HANDLER shop.orders OPEN AS h", "HANDLER h READ FIRST"))),
    _row(
        "prepared transaction",
        Held(("XA START 'x'", "UPDATE shop.noted SET note = 'y'", "XA END 'x'", "XA PREPARE 'x'")),
    ),
    _row("temporary table", Held(("CREATE TEMPORARY TABLE shop.t (a INT)",))),
    _global("sql_mode", "''"),
    _global("read_only", "1"),
    _global("sql_safe_updates", "1"),
    _global("sql_select_limit", "1"),
    _global("group_concat_max_len", "4"),
    _global("foreign_key_checks", "0"),
    _global("time_zone", "'+05:00'"),
    _global("character_set_server", "latin1"),
    _global("max_connections", "77"),
    _global("init_connect", "'SET @a = 1'"),
    _global("default_storage_engine", "MEMORY"),
    _global("wait_timeout", "1"),
    _global("max_statement_time", "0.001"),
    _global("innodb_lock_wait_timeout", "1"),
]
