"""What can be changed in a PostgreSQL cluster: the rows of its battery."""

from __future__ import annotations

from tests._support.reset.battery import Change

# PostgreSQL is the parent of what is orphaned in its container: it takes an exit code above 1 for a
# crash of its own.
_LEFT_BEHIND = r"""
\! (psql -U shop -c BEGIN -c "{}" -c "SELECT pg_sleep(600)"; :) </dev/null >/dev/null 2>&1 &
DO $$BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)') LOOP
PERFORM pg_sleep(0.05); PERFORM pg_stat_clear_snapshot(); END LOOP; END$$
"""

_ALWAYS = {
    "alter system loaded and reset in the file": "ALTER SYSTEM SET work_mem = '99MB';"
    "SELECT pg_reload_conf();SELECT pg_sleep(0.3);ALTER SYSTEM SET work_mem = '5MB'",
    "setting of a role in a database": "ALTER ROLE app IN DATABASE shop SET extra_float_digits = 0",
    "setting of a database, and rows": "ALTER DATABASE shop SET extra_float_digits = 0;"
    "DELETE FROM customers",
    "rows": "UPDATE customers SET name = name || '!' WHERE id < 9; DELETE FROM invoices",
    "rule": "CREATE RULE r AS ON INSERT TO invoices DO ALSO INSERT INTO scratch VALUES (5);"
    "ALTER TABLE invoices ENABLE ALWAYS RULE r; INSERT INTO invoices (customer) VALUES (1)",
    "idle transaction left by exec": _LEFT_BEHIND.format("DELETE FROM customers"),
}

_CHANGES = {
    # rows and sequences
    "insert": "INSERT INTO customers (name) VALUES ('new')",
    "delete all": "DELETE FROM customers",
    "many rows": "INSERT INTO invoices (customer) SELECT 1 FROM generate_series(1, 5000)",
    "upsert": "INSERT INTO customers VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
    "merge": "MERGE INTO customers c USING generate_series(1, 30) n ON c.id = n"
    " WHEN MATCHED THEN UPDATE SET name = 'm' || n"
    " WHEN NOT MATCHED THEN INSERT (name) VALUES ('z' || n)",
    "key that others refer to": "DELETE FROM customers WHERE id = 3",
    "toasted value": "UPDATE documents SET body = repeat('z', 30000)",
    "large table": "UPDATE large SET body = 'z' WHERE id % 7 = 0",
    "row of another partition": "CREATE TABLE rest PARTITION OF parts DEFAULT;"
    "UPDATE parts SET at = '2031-01-01'",
    "rows by program": "COPY customers (name) FROM PROGRAM 'seq 100 120'",
    "rolled back": "BEGIN; DELETE FROM customers; ROLLBACK",
    "locked rows": "SELECT * FROM customers FOR UPDATE",
    "rows by cursor": "BEGIN; DECLARE c CURSOR FOR SELECT * FROM customers; FETCH c;"
    "UPDATE customers SET name = 'c' WHERE CURRENT OF c; COMMIT",
    "held cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM customers; DELETE FROM invoices",
    "next value": "SELECT nextval('numbers')",
    "cached next value": "SELECT nextval('cached')",
    "set value": "SELECT setval('numbers', 1, false)",
    "altered sequence": "ALTER SEQUENCE numbers INCREMENT 7 MAXVALUE 999 CYCLE RESTART 3",
    "dropped sequence": "DROP SEQUENCE numbers",
    "rows of another database": '\\c "Second one"\nINSERT INTO things VALUES (99)',
    "rows of postgres": "\\c postgres\nDELETE FROM in_postgres",
    "truncated": "TRUNCATE customers, invoices RESTART IDENTITY",
    # tables
    "new table": "CREATE TABLE fresh (a int); INSERT INTO fresh VALUES (1)",
    "copied table": "CREATE TABLE fresh AS TABLE customers",
    "unlogged table": "CREATE UNLOGGED TABLE fresh (a int)",
    "temporary table": "CREATE TEMPORARY TABLE fresh (a int)",
    "dropped table": "DROP TABLE customers CASCADE",
    "dropped and made again": "DROP TABLE documents; CREATE TABLE documents (id int, body text)",
    "new column": "ALTER TABLE customers ADD age int DEFAULT 5",
    "dropped column": "ALTER TABLE customers DROP COLUMN name CASCADE",
    "column type": "ALTER TABLE documents ALTER id TYPE bigint",
    "renamed column": "ALTER TABLE documents RENAME id TO number",
    "renamed table": "ALTER TABLE documents RENAME TO papers",
    "schema of a table": "ALTER TABLE documents SET SCHEMA public",
    "default": "ALTER TABLE documents ALTER id SET DEFAULT 7",
    "not null": "ALTER TABLE documents ALTER id SET NOT NULL",
    "check": "ALTER TABLE documents ADD CHECK (id > 0) NOT VALID",
    "foreign key": "ALTER TABLE invoices DROP CONSTRAINT invoices_customer_fkey",
    "storage": "ALTER TABLE documents ALTER body SET STORAGE MAIN",
    "compression": "ALTER TABLE documents ALTER body SET COMPRESSION pglz",
    "statistics target": "ALTER TABLE documents ALTER id SET STATISTICS 77",
    "table options": "ALTER TABLE documents SET (fillfactor = 50, autovacuum_enabled = false)",
    "replica identity": "ALTER TABLE documents REPLICA IDENTITY FULL",
    "unlogged": "ALTER TABLE documents SET UNLOGGED",
    "inheritance": "CREATE TABLE heir () INHERITS (documents)",
    "detached partition": "ALTER TABLE parts DETACH PARTITION parts_2026",
    "owner of a table": "ALTER TABLE documents OWNER TO app",
    "privileges of a table": "GRANT ALL ON documents TO bystander",
    "privileges of a column": "GRANT SELECT (id) ON documents TO bystander",
    "comment on a column": "COMMENT ON COLUMN documents.id IS 'x'",
    "vacuum": "DELETE FROM documents; VACUUM documents",
    "vacuum full": "VACUUM FULL customers",
    "vacuum freeze": "DELETE FROM documents; VACUUM (FREEZE) customers",
    "analyze": "ANALYZE customers",
    "cluster": "CLUSTER customers USING customers_pkey",
    # indexes, views, rules, triggers, policies
    "new index": "CREATE UNIQUE INDEX fresh ON customers (lower(name))",
    "concurrent index": "CREATE INDEX CONCURRENTLY fresh ON customers (name)",
    "dropped index": "DROP INDEX by_total",
    "reindex": "REINDEX TABLE customers",
    "new view": "CREATE VIEW fresh AS SELECT 1 AS a",
    "replaced view": "CREATE OR REPLACE VIEW totals AS SELECT sum(total) + 1 AS sum FROM orders",
    "dropped view": "DROP VIEW totals",
    "refreshed view": "REFRESH MATERIALIZED VIEW kept_totals",
    "new trigger": "CREATE TRIGGER fresh BEFORE UPDATE ON orders FOR EACH ROW"
    " EXECUTE FUNCTION noted()",
    "disabled trigger": "ALTER TABLE orders DISABLE TRIGGER noting",
    "trigger for replicas": "ALTER TABLE orders ENABLE REPLICA TRIGGER noting; DELETE FROM orders",
    "event trigger": "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()",
    "row security": "ALTER TABLE customers ENABLE ROW LEVEL SECURITY;"
    "ALTER TABLE customers FORCE ROW LEVEL SECURITY",
    "policy": "CREATE POLICY p ON orders USING (total > 5)",
    # functions, types, operators, text search
    "new function": "CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "replaced function": "CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql"
    " AS 'SELECT 3 * $1'",
    "setting of a function": "ALTER FUNCTION twice(int) SET work_mem = '1MB'",
    "procedure": "CREATE PROCEDURE fresh() LANGUAGE sql AS 'SELECT 1'",
    "aggregate": "CREATE AGGREGATE fresh (int) (sfunc = int4pl, stype = int)",
    "operator": "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
    "cast": "CREATE TYPE box2 AS (t text); CREATE CAST (box2 AS text) WITH INOUT",
    "enum value": "ALTER TYPE mood ADD VALUE 'happy' BEFORE 'sad'",
    "renamed enum value": "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "domain": "CREATE DOMAIN fresh AS int CHECK (VALUE > 0)",
    "range type": "CREATE TYPE fresh AS RANGE (subtype = int)",
    "collation": "CREATE COLLATION fresh FROM \"C\"",
    "text search": "CREATE TEXT SEARCH CONFIGURATION fresh (COPY = simple)",
    "language": "CREATE EXTENSION IF NOT EXISTS plpgsql; COMMENT ON LANGUAGE plpgsql IS 'x'",
    "dropped extension": "DROP EXTENSION pgcrypto CASCADE",
    "new extension": "CREATE EXTENSION hstore",
    "moved extension": "ALTER EXTENSION pgcrypto SET SCHEMA sales",
    # what hangs on a database otherwise
    "foreign server": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
    "CREATE USER MAPPING FOR app SERVER s OPTIONS (a 'b')",
    "publication": "DROP PUBLICATION changes",
    "altered publication": "ALTER PUBLICATION changes ADD TABLE customers",
    "statistics object": "CREATE STATISTICS fresh ON id, name FROM customers",
    "new large object": "SELECT lo_from_bytea(4712, 'x')",
    "written large object": "SELECT lo_put(4711, 0, 'changed')",
    "dropped large object": "SELECT lo_unlink(4711)",
    "new schema": "CREATE SCHEMA fresh",
    "dropped schema": "DROP SCHEMA sales CASCADE",
    "default privileges": "ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT ALL ON TABLES TO app",
    "catalog written to": "UPDATE pg_proc SET procost = 7 WHERE proname = 'twice'",
    # databases
    "new database": "CREATE DATABASE fresh",
    "dropped database": 'DROP DATABASE "Second one"',
    "renamed database": 'ALTER DATABASE "Second one" RENAME TO third',
    "database made again": 'DROP DATABASE "Second one"; CREATE DATABASE "Second one"',
    "owner of a database": "ALTER DATABASE shop OWNER TO app",
    "setting of a database": "ALTER DATABASE shop SET search_path = public",
    "privileges of a database": "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
    "limit of a database": "ALTER DATABASE shop CONNECTION LIMIT 5",
    "closed database": 'ALTER DATABASE "Second one" ALLOW_CONNECTIONS false',
    "template database": 'ALTER DATABASE "Second one" IS_TEMPLATE true',
    "comment on a database": "COMMENT ON DATABASE shop IS 'x'",
    "template1": "\\c template1\nCREATE TABLE fresh (a int)",
    # roles
    "new role": "CREATE ROLE fresh SUPERUSER LOGIN PASSWORD 'x'",
    "dropped role": "REASSIGN OWNED BY bystander TO shop; DROP OWNED BY bystander;"
    '\\c "Second one"\nDROP OWNED BY bystander; DROP ROLE bystander',
    "password": "ALTER ROLE app PASSWORD 'changed'",
    "password of the superuser": "ALTER ROLE shop PASSWORD 'changed'",
    "attributes of a role": "ALTER ROLE app NOLOGIN CREATEDB REPLICATION CONNECTION LIMIT 3",
    "renamed role": "ALTER ROLE readers RENAME TO writers",
    "membership": "REVOKE readers FROM app; GRANT pg_monitor TO readers WITH ADMIN OPTION",
    "setting of a role": "ALTER ROLE shop SET default_transaction_read_only = on",
    "setting of all roles": "ALTER ROLE ALL SET statement_timeout = '90s'",
    "comment on a role": "COMMENT ON ROLE app IS 'x'",
    "privilege of a setting": "GRANT SET, ALTER SYSTEM ON PARAMETER log_statement TO app",
    # the server
    "alter system": "ALTER SYSTEM SET log_statement = 'all'",
    "alter system and reload": "ALTER SYSTEM SET work_mem = '77MB'; SELECT pg_reload_conf()",
    "alter system reset": "ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()",
    "physical slot": "SELECT pg_create_physical_replication_slot('fresh', true)",
    "logical slot": "SELECT pg_create_logical_replication_slot('fresh', 'pgoutput')",
    "replication origin": "SELECT pg_replication_origin_create('fresh');"
    "SELECT pg_replication_origin_advance('fresh', '0/1234')",
    "prepared transaction": "BEGIN; DELETE FROM customers; PREPARE TRANSACTION 'fresh'",
    "notification": "LISTEN fresh; NOTIFY fresh, 'x'",
    "log switch": "SELECT pg_switch_wal(); CHECKPOINT; DELETE FROM customers",
    "counters": "SELECT pg_stat_reset(), pg_stat_reset_shared('bgwriter'); DELETE FROM customers",
    "session left with a lock": _LEFT_BEHIND.format("SELECT pg_advisory_lock(5)"),
    "session left in the middle": _LEFT_BEHIND.format("SELECT * FROM customers"),
}  # fmt: skip

CHANGES = [
    *(Change(name, script, always=True) for name, script in _ALWAYS.items()),
    *(Change(name, script) for name, script in _CHANGES.items()),
]
