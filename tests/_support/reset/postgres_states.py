"""A PostgreSQL cluster with something of everything, and the worst that a test can do to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dockwright.reset.postgres import PostgresReset
from dockwright.reset.postgres.session import Access, PostgresSession
from tests._support.owned import Owned
from tests._support.reset.services import RealService, start

IMAGE = "postgres:15"


def server(owned: Owned, *settings: str, **env: str) -> RealService:
    """Start a server with settings such as ``autovacuum=off`` and wait until it answers."""
    return start(
        owned,
        IMAGE,
        "postgres",
        *(word for setting in settings for word in ("-c", setting)),
        check="pg_isready -q -h 127.0.0.1 -U shop -d shop",
        env={"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "shop"} | env,
    )


@contextmanager
def captured(service: RealService) -> Iterator[PostgresReset]:
    """Give the strategy of a server, whose baseline is what the server is now."""
    strategy = PostgresReset(service)
    try:
        strategy.capture()
        yield strategy
    finally:
        strategy.close()


SEED = """
CREATE ROLE app LOGIN PASSWORD 'app' VALID UNTIL '2040-01-01' CONNECTION LIMIT 20;
CREATE ROLE readers NOLOGIN;
CREATE ROLE bystander LOGIN PASSWORD 'b';
GRANT readers TO app WITH ADMIN OPTION;
GRANT pg_read_all_stats TO bystander;
ALTER ROLE app SET statement_timeout = '30s';
ALTER ROLE bystander IN DATABASE shop SET work_mem = '8MB';
COMMENT ON ROLE app IS 'the application';
ALTER SYSTEM SET work_mem = '5MB';
SELECT pg_reload_conf();
CREATE DATABASE "Second one" OWNER app CONNECTION LIMIT 50;
COMMENT ON DATABASE "Second one" IS 'it''s the second';
REVOKE CONNECT ON DATABASE "Second one" FROM PUBLIC;
GRANT CONNECT ON DATABASE "Second one" TO bystander;
ALTER DATABASE "Second one" SET timezone = 'Europe/Berlin';
\\c "Second one"
CREATE TABLE things (id int PRIMARY KEY);
ALTER TABLE things OWNER TO app;
INSERT INTO things VALUES (1);
\\c template1
CREATE TABLE in_template1 (a int);
\\c postgres
CREATE TABLE in_postgres (a int);
INSERT INTO in_postgres VALUES (7);
\\c shop
CREATE EXTENSION pgcrypto;
CREATE SCHEMA sales AUTHORIZATION app;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE SEQUENCE numbers START 100;
SELECT nextval('numbers');
CREATE TABLE sales.orders (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood mood, note text DEFAULT 'x',
  total numeric CHECK (total >= 0));
INSERT INTO sales.orders (mood, total) SELECT 'ok', n FROM generate_series(1, 100) n;
CREATE INDEX by_total ON sales.orders (total);
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2026-05-05');
CREATE UNLOGGED TABLE scratch (a int);
INSERT INTO scratch VALUES (1);
CREATE VIEW totals AS SELECT sum(total) FROM sales.orders;
CREATE MATERIALIZED VIEW kept_totals AS SELECT sum(total) FROM sales.orders;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN NEW.note := NEW.note || ''!''; RETURN NEW; END';
CREATE TRIGGER noting BEFORE INSERT ON sales.orders FOR EACH ROW EXECUTE FUNCTION noted();
ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_them ON sales.orders FOR SELECT TO readers USING (true);
GRANT SELECT ON sales.orders TO readers;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO readers;
CREATE PUBLICATION changes FOR TABLE sales.orders;
SELECT lo_from_bytea(4711, 'a large object');
COMMENT ON TABLE sales.orders IS 'orders';
ALTER DATABASE shop SET search_path = sales, public;
"""

LOGGED = (
    SEED.replace("CREATE UNLOGGED TABLE", "CREATE TABLE")
    + """
CREATE TABLE customers (id serial PRIMARY KEY, name text UNIQUE, shout text
  GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 20) n;
CREATE TABLE invoices (id serial PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE);
INSERT INTO invoices (customer) SELECT n FROM generate_series(1, 20) n;
CREATE TABLE documents (id int, body text);
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
INSERT INTO documents SELECT 1, repeat('x', 20000);
CREATE TABLE "Odd ""name" ("a column" int, dropped int);
ALTER TABLE "Odd ""name" DROP COLUMN dropped;
INSERT INTO "Odd ""name" VALUES (1), (NULL);
CREATE TABLE large AS SELECT n AS id, repeat('y', 500) AS body FROM generate_series(1, 4000) n;
CREATE TABLE followed (a int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO scratch VALUES (9); RETURN NEW; END';
CREATE TRIGGER always AFTER INSERT ON followed FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE followed ENABLE ALWAYS TRIGGER always;
CREATE SEQUENCE cached CACHE 20;
"""
)
"""Without what keeps rows from being brought back on their own, and with more of them."""

CHANGES = """
ALTER ROLE shop PASSWORD 'changed';
ALTER ROLE app PASSWORD 'other' NOLOGIN CREATEDB VALID UNTIL 'infinity' CONNECTION LIMIT 3;
ALTER ROLE app RESET ALL;
ALTER ROLE readers RENAME TO writers;
REVOKE writers FROM app;
COMMENT ON ROLE app IS 'changed';
CREATE ROLE intruder SUPERUSER LOGIN PASSWORD 'i';
GRANT app TO intruder;
ALTER ROLE intruder SET work_mem = '1GB';
ALTER ROLE ALL SET lock_timeout = '90s';
GRANT SET ON PARAMETER log_statement TO app;
REVOKE ALL ON DATABASE "Second one" FROM bystander;
DROP ROLE bystander;
ALTER SYSTEM SET work_mem = '77MB';
ALTER SYSTEM SET log_statement = 'all';
SELECT pg_reload_conf();
SELECT pg_create_physical_replication_slot('physical', true);
ALTER DATABASE shop SET search_path = public;
ALTER DATABASE shop OWNER TO intruder;
ALTER DATABASE shop CONNECTION LIMIT 5;
COMMENT ON DATABASE shop IS 'changed';
GRANT ALL ON DATABASE shop TO app;
CREATE DATABASE extra OWNER intruder;
ALTER DATABASE "Second one" RENAME TO third;
\\c template1
DROP TABLE in_template1;
CREATE TABLE other (a int);
\\c postgres
UPDATE in_postgres SET a = 8;
SELECT pg_advisory_lock(1);
\\c shop
SELECT pg_create_logical_replication_slot('logical', 'pgoutput');
DROP EXTENSION pgcrypto;
CREATE EXTENSION hstore;
ALTER TYPE mood ADD VALUE 'happy';
SELECT setval('numbers', 5000);
DROP PUBLICATION changes;
DELETE FROM sales.orders WHERE id < 50;
UPDATE sales.orders SET note = 'changed';
INSERT INTO sales.orders (mood, total) VALUES ('sad', 1);
ALTER TABLE sales.orders DROP COLUMN note;
ALTER TABLE sales.orders OWNER TO intruder;
DROP POLICY all_of_them ON sales.orders;
REVOKE ALL ON sales.orders FROM writers;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT ALL ON TABLES TO app;
DROP INDEX sales.by_total;
TRUNCATE parts, scratch;
DROP VIEW totals;
REFRESH MATERIALIZED VIEW kept_totals;
CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 3 * $1';
SELECT lo_put(4711, 0, 'changed');
SELECT lo_create(4712);
CREATE SCHEMA more;
CREATE TABLE more.things (a serial);
BEGIN;
INSERT INTO more.things VALUES (1);
PREPARE TRANSACTION 'it''s in doubt';
"""


def psql(service: RealService, script: str, database: str = "shop") -> str:
    """Run a script in the container."""
    options = ["-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", database]
    return service.run(
        "bash", "-c", 'script=$1; shift; psql "$@" <<< "$script"', "bash", script, *options
    )


def application_of(service: RealService) -> PostgresSession:
    """Return a connection with the settings that the seed gives an application."""
    session = Access.of(service).connect("shop")
    session.run("SET search_path = sales, public; SET session_replication_role = origin")
    return session


_BESIDE = """
SELECT oid, rolname, rolpassword FROM pg_authid WHERE oid > 16000 ORDER BY 1;
SELECT * FROM pg_prepared_xacts;
SELECT slot_name FROM pg_replication_slots ORDER BY 1;
SELECT * FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' ORDER BY seqno;
SELECT datname, datallowconn, datistemplate, datconnlimit, datacl, datdba FROM pg_database
  WHERE datname !~ '_(spare|trash)_' ORDER BY 1;
SELECT classid::regclass, refclassid::regclass, refobjid, deptype, count(*) FROM pg_shdepend
  GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
SELECT last_value, is_called FROM numbers;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory';
"""


def dump(service: RealService, more: str = "") -> str:
    """Return all that can be seen of a cluster: a dump of everything, and what dumps leave out.

    Args:
        service: the server.
        more: what is asked beside that.
    """
    command = 'pg_dumpall -U shop && psql -qAtX -v ON_ERROR_STOP=1 -U shop shop <<< "$1"'
    everything = service.run("bash", "-c", command, "bash", _BESIDE + more)
    return re.sub(r"^\\(un)?restrict .*$", "", everything, flags=re.MULTILINE)


LOOK = """
SELECT 'SELECT '''||c.oid::regclass::text||''', * FROM ' || c.oid::regclass || ';'
FROM pg_class c WHERE relkind IN ('r', 'S', 'm') AND c.oid >= 16384 ORDER BY c.oid
\\gexec
SELECT oid, relname, relnatts, relacl, relowner FROM pg_class WHERE oid >= 16384 ORDER BY 1;
SELECT loid, data FROM pg_largeobject;
SELECT * FROM pg_statistic;
SELECT datname, datdba, datacl FROM pg_database WHERE datname !~ '_(spare|trash)_' ORDER BY 1;
SELECT rolname, rolconfig FROM pg_roles ORDER BY 1;
"""


def everything(service: RealService) -> str:
    """Return all rows in the order in which they lie, and what else the changes here touch."""
    return psql(service, LOOK)
