"""Rows come back exactly, whatever settings, rules, types and numbers of tables there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._support.owned import Owned
from tests._support.reset.postgres_states import captured, psql, server
from tests._support.reset.services import RealService, assert_same
from tests._support.sample import FULL

pytestmark = pytest.mark.engine

HOSTILE = {
    "extra_float_digits": "0",
    "IntervalStyle": "sql_standard",
    "DateStyle": "'SQL, DMY'",
    "bytea_output": "escape",
    "TimeZone": "'Asia/Kathmandu'",
    "lc_monetary": "'C.UTF-8'",
    "client_encoding": "latin1",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "xmloption": "document",
    "search_path": "evil, pg_catalog",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "session_replication_role": "origin",
    "row_security": "off",
    "check_function_bodies": "off",
    "default_toast_compression": "pglz",
    "default_tablespace": "pg_default",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "1",
    "enable_seqscan": "off",
    "min_parallel_table_scan_size": "0",
    "force_parallel_mode": "on",
    "log_statement": "'all'",
}

VALUES = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.md5(bytea) RETURNS text LANGUAGE sql AS $$SELECT 'always the same'$$;
CREATE TABLE evil.pg_class (oid oid);
CREATE TABLE public.numbers (id int PRIMARY KEY, f double precision, r real, n numeric, i interval,
  d date, s timestamp, z timestamptz, b bytea, m money, a text[], t text, null_or_not boolean);
INSERT INTO public.numbers SELECT n, 0.1::double precision + 0.2 + n, 1.1::real / 3,
  1.10 + n, interval '-1 year 2 days -03:04:05.678901', date '2026-02-03' + n,
  timestamp '2026-02-03 04:05:06.789012', timestamptz '2026-02-03 04:05:06.789012+05:45',
  '\\x00ff275c0a'::bytea, 12.34::money, ARRAY['a', NULL, 'NULL', E'\\\\'],
  E'it''s \\\\ a \\n "text" \u20ac', NULL
FROM generate_series(1, 500) n;
CREATE TABLE public.shadow (t text, other int);
INSERT INTO public.shadow VALUES ('same', 1), ('same', 2);
"""

OWN_SETTINGS = "PGOPTIONS=" + " ".join(
    f"-c {each}"
    for each in (
        "statement_timeout=0", "lock_timeout=0", "idle_session_timeout=0",
        "idle_in_transaction_session_timeout=0", "default_transaction_read_only=off",
        "default_transaction_deferrable=off", "extra_float_digits=3", "search_path=public",
        "client_encoding=utf8", "default_transaction_isolation=read\\ committed",
    )
)  # fmt: skip


def sql(service: RealService, script: str, database: str = "shop") -> str:
    """Run a script whatever the database sets for its sessions."""
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", database]
    return service.run("env", OWN_SETTINGS, *command, "-c", script)


@pytest.fixture(scope="module")
def service(owned_by_module: Owned) -> RealService:
    return server(owned_by_module, "autovacuum=off")


@pytest.fixture
def database(service: RealService) -> Iterator[str]:
    """A database of one test."""
    psql(service, "CREATE DATABASE one", "postgres")
    yield "one"
    psql(service, "DROP DATABASE one WITH (FORCE)", "postgres")


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize("owner", ["DATABASE one", "ROLE shop", "ROLE shop IN DATABASE one"])
def test_no_setting_of_a_database_or_a_role_changes_a_value(
    service: RealService, database: str, owner: str
) -> None:
    psql(service, VALUES, database)
    for name, value in HOSTILE.items():
        sql(service, f"ALTER {owner} SET {name} = {value}", "postgres")
    look = "SELECT n.*, f::text, r::text, ctid IS NULL FROM numbers n; SELECT * FROM shadow t"
    before = sql(service, look, database)
    try:
        with captured(service) as strategy:
            sql(service, "UPDATE numbers SET f = f + 1e-16 WHERE id = 7", database)
            sql(service, "DELETE FROM numbers WHERE id = 9", database)
            sql(service, "UPDATE shadow SET other = 3 WHERE other = 1", database)
            assert not strategy.reset()
            assert_same(before, sql(service, look, database))
    finally:
        sql(service, f"ALTER {owner} RESET ALL", "postgres")


ACTIVE = """
CREATE SEQUENCE counted;
CREATE TABLE audit (what text);
CREATE FUNCTION notes(what text) RETURNS boolean LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit VALUES (what); RETURN true; END$$;
CREATE FUNCTION counts() RETURNS boolean LANGUAGE sql AS
  $$SELECT nextval('public.counted') > 0$$;
CREATE FUNCTION audits() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.notes(TG_NAME::text); RETURN NULL; END$$;
CREATE TABLE ruled_always (a int);
CREATE RULE r AS ON INSERT TO ruled_always DO ALSO INSERT INTO audit VALUES ('always');
CREATE RULE d AS ON DELETE TO ruled_always DO ALSO INSERT INTO audit VALUES ('gone');
ALTER TABLE ruled_always ENABLE ALWAYS RULE r;
ALTER TABLE ruled_always ENABLE ALWAYS RULE d;
CREATE TABLE ruled_replica (a int);
CREATE RULE d AS ON DELETE TO ruled_replica DO INSTEAD INSERT INTO audit VALUES ('replica');
ALTER TABLE ruled_replica ENABLE REPLICA RULE d;
CREATE TABLE ruled (a int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO audit VALUES ('origin');
CREATE TABLE triggered_replica (a int);
CREATE TRIGGER t AFTER INSERT ON triggered_replica FOR EACH ROW EXECUTE FUNCTION audits();
ALTER TABLE triggered_replica ENABLE REPLICA TRIGGER t;
CREATE TABLE triggered (a int);
CREATE TRIGGER t AFTER INSERT OR DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION audits();
CREATE TABLE checked (a int CHECK (notes('check')));
CREATE TABLE counting (a int CHECK (counts()));
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE of_domain (a positive);
CREATE TABLE guarded (a int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a * 2) STORED,
  id int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE apart (r int4range, EXCLUDE USING gist (r WITH &&));
CREATE TABLE parent (a int);
CREATE TABLE child (b int) INHERITS (parent);
CREATE TABLE parted (a int) PARTITION BY LIST (a);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parted DEFAULT;
CREATE TABLE unchecked (a int);
INSERT INTO unchecked VALUES (-1);
ALTER TABLE unchecked ADD CHECK (a > 0) NOT VALID;
CREATE VIEW seen AS SELECT * FROM ruled;
CREATE RULE i AS ON INSERT TO seen DO INSTEAD INSERT INTO guarded VALUES (NEW.a);
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.notes('ddl'); END$$;
CREATE EVENT TRIGGER ddl ON ddl_command_end EXECUTE FUNCTION on_ddl();
ALTER EVENT TRIGGER ddl ENABLE ALWAYS;
INSERT INTO ruled_always VALUES (1), (2);
INSERT INTO ruled_replica VALUES (1), (2);
INSERT INTO ruled VALUES (1), (2);
INSERT INTO triggered_replica VALUES (1);
INSERT INTO triggered VALUES (1);
INSERT INTO checked VALUES (1);
INSERT INTO counting VALUES (1);
INSERT INTO of_domain VALUES (1);
INSERT INTO guarded VALUES (1);
INSERT INTO made (a) VALUES (1), (2);
INSERT INTO deferred VALUES (1), (2);
INSERT INTO apart VALUES ('[1,3)'), ('[3,5)');
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 3);
INSERT INTO parted VALUES (1), (2);
"""

TABLES = [
    "ruled_always",
    "ruled_replica",
    "ruled",
    "triggered_replica",
    "triggered",
    "checked",
    "counting",
    "of_domain",
    "guarded",
    "made",
    "deferred",
    "apart",
    "parent",
    "child",
    "parted",
    "unchecked",
    "audit",
]


def test_restoring_rows_has_no_side_effects(service: RealService, database: str) -> None:
    psql(service, ACTIVE, database)
    look = "SELECT last_value, is_called FROM counted;" + "".join(
        f"SELECT '{name}', t.* FROM {name} t;" for name in TABLES
    )
    by_rows = set()
    with captured(service) as strategy:
        before = psql(service, look, database)
        for name in TABLES:
            psql(service, f"DELETE FROM {name}", database)
            if not strategy.reset():
                by_rows.add(name)
            assert_same(before, psql(service, look, database))
    assert by_rows == set(TABLES)


@pytest.mark.soak(sample=4)
@pytest.mark.parametrize("count", [10, 100, 500, *([2000] if FULL else [])])
def test_any_number_of_tables_comes_back_by_rows(
    service: RealService, database: str, count: int
) -> None:
    psql(
        service,
        f"""DO $$BEGIN FOR n IN 1..{count} LOOP
          EXECUTE format('CREATE TABLE t_%s (id int, t text)', n);
          EXECUTE format('INSERT INTO t_%s VALUES (%s, ''x'')', n, n);
        END LOOP; END$$""",
        database,
    )
    every = (
        "DO $$BEGIN FOR n IN 1.." + str(count) + " LOOP"
        " EXECUTE format('UPDATE t_%s SET t = ''y''', n); END LOOP; END$$"
    )
    look = "".join(f"SELECT * FROM t_{n};" for n in range(1, count + 1))
    with captured(service) as strategy:
        before = psql(service, look, database)
        for change in (f"DELETE FROM t_{count}", every):
            psql(service, change, database)
            assert not strategy.reset()
            assert_same(before, psql(service, look, database))


def test_a_table_of_many_columns_comes_back_by_rows(service: RealService, database: str) -> None:
    for count in (200, 1600):
        columns = ", ".join(f"c{n} smallint" for n in range(count))
        psql(service, f"CREATE TABLE wide_{count} ({columns})", database)
        psql(service, f"INSERT INTO wide_{count} VALUES (1, 2, 3)", database)
    look = "SELECT * FROM wide_200; SELECT * FROM wide_1600"
    with captured(service) as strategy:
        before = psql(service, look, database)
        psql(service, "DELETE FROM wide_200; UPDATE wide_1600 SET c1599 = 7", database)
        assert not strategy.reset()
        assert_same(before, psql(service, look, database))


SAMPLES = {
    '"char"': "'x'", "aclitem": "'shop=r/shop'", "bigint": "1", "bit": "B'1'",
    "bit varying": "B'10'",
    "boolean": "true", "box": "'(1,2),(3,4)'", "bpchar": "'x '", "bytea": "'\\x00ff'",
    "character": "'x'", "character varying": "'x'", "cid": "'1'", "cidr": "'10.0.0.0/8'",
    "circle": "'<(1,2),3>'", "date": "'infinity'", "datemultirange": "'{[2026-01-01,2026-02-01)}'",
    "daterange": "'[2026-01-01,)'", "double precision": "'-0'", "inet": "'10.0.0.1/8'",
    "int2vector": "'1 2'", "int4multirange": "'{[1,3),[5,)}'", "int4range": "'empty'",
    "int8multirange": "'{}'", "int8range": "'(,5)'", "integer": "1", "interval": "'1 mon -1 day'",
    "json": "'{\"a\" : 1, \"a\":2}'", "jsonb": "'{\"a\": 1.10}'", "jsonpath": "'$.a ? (@ > 1)'",
    "line": "'{1,2,3}'", "lseg": "'[(1,2),(3,4)]'", "macaddr": "'08:00:2b:01:02:03'",
    "macaddr8": "'08:00:2b:01:02:03:04:05'", "money": "'-1.23'", "name": "'x'",
    "numeric": "'1.100'", "nummultirange": "'{[1.10,2)}'", "numrange": "'[1.10,2)'", "oid": "1",
    "oidvector": "'1 2'", "path": "'[(1,2),(3,4)]'", "pg_lsn": "'1/2'", "pg_snapshot": "'1:3:2'",
    "point": "'(0.1,1e300)'", "polygon": "'((1,2),(3,4))'", "real": "'NaN'", "refcursor": "'x'",
    "regclass": "'pg_class'", "regcollation": "'\"C\"'", "regconfig": "'english'",
    "regdictionary": "'simple'", "regnamespace": "'pg_catalog'", "regoper": "'||/'",
    "regoperator": "'+(int,int)'", "regproc": "'now'", "regprocedure": "'now()'",
    "regrole": "'shop'", "regtype": "'int'", "smallint": "1", "text": "'x'", "tid": "'(1,2)'",
    "time with time zone": "'01:02:03.4+05:45'", "time without time zone": "'24:00'",
    "timestamp with time zone": "'2026-01-01 01:02:03.456789+01'",
    "timestamp without time zone": "'-infinity'", "tsmultirange": "'{[2026-01-01,)}'",
    "tsquery": "'a & !b:*A'", "tsrange": "'[2026-01-01,]'", "tstzmultirange": "'{}'",
    "tstzrange": "'[2026-01-01 00:00+01,)'", "tsvector": "'a:1A b:2'", "txid_snapshot": "'1:3:2'",
    "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "xid": "'1'", "xid8": "'1'",
    "xml": "'<?xml version=\"1.0\"?><a/>'",
}  # fmt: skip
"""A value of each built-in type."""

BUILT_IN = """
SELECT format_type(oid, NULL) FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
AND typnamespace = 'pg_catalog'::regnamespace AND typname !~ '^pg_(brin|ddl|dep|mcv|ndi|node)'
AND typname <> 'gtsvector'
"""

OF_ONES_OWN = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, m mood, t text);
CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
CREATE TYPE spread AS RANGE (subtype = double precision, multirange_type_name = spreads);
CREATE TABLE own (e mood, es mood[], c pair, cs pair[], d short, r spread, rs spreads, n int[][]);
INSERT INTO own VALUES (
  'ok', '{ok,NULL,sad}', (1, 'sad', 'it''s "x"'), ARRAY[(NULL, 'ok', '')::pair],
  'short', '[0.1,0.30000000000000004)', '{[1,2),[3,4)}', '[0:1][2:3]={{1,2},{3,4}}');
"""


PAGES = """
CREATE EXTENSION amcheck;
CREATE TABLE pages (id serial PRIMARY KEY, note text, n int DEFAULT 0);
INSERT INTO pages (note) SELECT repeat('x', 100) FROM generate_series(1, 2000);
CREATE TABLE changed_before (id int PRIMARY KEY, n int);
INSERT INTO changed_before SELECT n, 0 FROM generate_series(1, 20) n;
UPDATE changed_before SET n = n + 1;
UPDATE changed_before SET n = n + 1 WHERE id < 9;
"""

LOOK = """
SET enable_seqscan = off;
SELECT ctid, * FROM pages;
SELECT count(*) FROM pages WHERE id = 77;
SELECT ctid, * FROM changed_before ORDER BY id;
SELECT * FROM changed_before WHERE id = 3;
SELECT * FROM verify_heapam('pages');
SELECT * FROM verify_heapam('changed_before');
SELECT bt_index_check('pages_pkey', true), bt_index_check('changed_before_pkey', true);
"""


@pytest.mark.soak(sample=4)
@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO pages (note) SELECT 'new' FROM generate_series(1, 9)",
        "UPDATE pages SET n = n + 1 WHERE id % 9 = 0; UPDATE pages SET n = n + 1 WHERE id < 99;"
        "DELETE FROM pages WHERE id = 77; SELECT count(*) FROM pages",
        "UPDATE pages SET id = -id WHERE id % 50 = 0; INSERT INTO pages (id) VALUES (50)",
        "BEGIN; UPDATE pages SET n = 1; SAVEPOINT a; UPDATE pages SET n = 2; ROLLBACK TO a; COMMIT",
        "BEGIN; SELECT * FROM pages WHERE id < 9 FOR KEY SHARE; SAVEPOINT a;"
        "UPDATE pages SET n = 5 WHERE id < 5; COMMIT",
        "UPDATE changed_before SET n = 9 WHERE id < 7; DELETE FROM changed_before WHERE id = 8",
        "COPY pages (id, n) FROM PROGRAM 'seq -f \"%%.0f\t1\" 5000 9000'".replace("%%", "%"),
    ],
)
def test_each_row_is_where_it_was_and_indexes_lead_to_it(
    service: RealService, database: str, change: str
) -> None:
    psql(service, PAGES, database)
    with captured(service) as strategy:
        before = psql(service, LOOK, database)
        for _ in range(3):
            psql(service, change, database)
            assert not strategy.reset()
            assert_same(before, psql(service, LOOK, database))


def test_tables_that_many_resets_fill_give_their_space_back(
    service: RealService, database: str
) -> None:
    psql(service, PAGES, database)
    more = "INSERT INTO pages (note) SELECT repeat('y', 100) FROM generate_series(1, 4000)"
    with captured(service) as strategy:
        before = psql(service, LOOK, database)
        for _ in range(6):
            psql(service, more, database)
            assert not strategy.reset()
        assert_same(before, psql(service, LOOK, database))
        assert int(psql(service, "SELECT pg_relation_size('pages')", database)) < 3 << 20


def test_values_of_all_types_come_back(service: RealService, database: str) -> None:
    assert {*psql(service, BUILT_IN, database).splitlines()} <= SAMPLES.keys()
    psql(service, OF_ONES_OWN, database)
    names = [(f"of_{number}", name) for number, name in enumerate(SAMPLES)]
    psql(
        service,
        "".join(
            f"CREATE TABLE {table} AS SELECT {SAMPLES[name]}::{name} AS value,"
            f" ARRAY[{SAMPLES[name]}, NULL]::{name}[] AS many;"
            for table, name in names
        ),
        database,
    )
    look = "SELECT * FROM own;" + "".join(
        f"SELECT value, many, value::text, pg_column_size(value) FROM {table};"
        for table, _ in names
    )
    all_of_them = "".join(f"DELETE FROM {table};" for table, _ in names)
    with captured(service) as strategy:
        before = psql(service, look, database)
        psql(service, f"DELETE FROM own; {all_of_them}", database)
        assert not strategy.reset()
        assert_same(before, psql(service, look, database))
