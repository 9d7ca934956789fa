"""The catalogs that all databases of a cluster share: their rows are saved and put back as rows.

Roles, memberships, settings and comments come back with the OIDs, password hashes and grantors they
had, which no sequence of CREATE and GRANT statements promises. A superuser may write to these
tables; PostgreSQL keeps its caches right for that (`heap_insert` invalidates them for any catalog).
"""

from __future__ import annotations

from collections.abc import Collection

from dockwright.reset.postgres.sql import array

_DATABASE = "'pg_database'::regclass"

SHARED = {
    "pg_authid": "true",
    "pg_auth_members": "true",
    "pg_db_role_setting": "setdatabase = 0",
    "pg_shdescription": f"classoid <> {_DATABASE}",
    "pg_shseclabel": f"classoid <> {_DATABASE}",
    "pg_parameter_acl": "true",
    "pg_replication_origin": "true",
    "pg_shdepend": f"dbid = 0 AND classid <> {_DATABASE}",
}
"""The catalogs by name, with the rows that do not belong to a database: those come and go with it.

`pg_parameter_acl` came with PostgreSQL 15.
"""

_OF_EACH_DATABASE = (
    "pg_class", "pg_attribute", "pg_constraint", "pg_default_acl", "pg_depend", "pg_description",
    "pg_event_trigger", "pg_largeobject", "pg_namespace", "pg_proc", "pg_rewrite", "pg_trigger",
    "pg_type",
)  # fmt: skip
"""Hardly anything can be made in a database without a row in one of these."""

NAMES = f"""
SELECT jsonb_agg(name)::text
FROM unnest('{{{",".join(SHARED)}}}'::text[]) name WHERE to_regclass(name) IS NOT NULL
"""


def save(names: list[str]) -> list[str]:
    """Return the statements that copy the catalogs, and `pg_database`, into our own database."""
    tables = [*names, "pg_database"]
    return [
        *(f"DROP TABLE IF EXISTS public.saved_{name}" for name in tables),
        *(f"CREATE TABLE public.saved_{name} AS SELECT * FROM {name}" for name in tables),
    ]


def fingerprints(names: list[str]) -> str:
    """Return an expression for a JSON object: a hash of its rows by catalog."""
    parts = (
        f"'{name}', (SELECT md5(string_agg(t::text, '|' ORDER BY t::text))"
        f" FROM {name} t WHERE {SHARED[name]})"
        for name in names
    )
    return f"jsonb_build_object({', '.join(parts)})"


def own_fingerprints(names: list[str]) -> str:
    """Return expressions for what our own database holds: each table's rows by their writers."""
    tables = [*_OF_EACH_DATABASE, *(f"public.saved_{name}" for name in [*names, "pg_database"])]
    return ", ".join(
        f"(SELECT concat(count(*), '|', sum(xmin::text::bigint)) FROM {table})" for table in tables
    )


def put_back(name: str) -> str:
    """Return the statement after which a catalog holds the rows that were saved.

    One statement: between two, our own role could be missing, and with it the right to go on. The
    count makes the deletion come first.
    """
    rows = SHARED[name]
    saved = f"public.saved_{name}"
    return f"""WITH gone AS (
      DELETE FROM {name} t WHERE {rows}
      AND t::text NOT IN (SELECT s::text FROM {saved} s WHERE {rows}) RETURNING 1)
    INSERT INTO {name} SELECT s.* FROM {saved} s WHERE {rows}
    AND (SELECT count(*) FROM gone) >= 0
    AND s::text NOT IN (SELECT t::text FROM {name} t WHERE {rows})"""


def detach(databases: Collection[int]) -> list[str]:
    """Return the statements that remove what the shared catalogs say of databases.

    Without them `DROP ROLE` in a test would fail because of objects in a copy, and would stumble
    over rows that go with a dirty database at the same moment.
    """
    them = array(databases)
    return [
        f"DELETE FROM pg_shdepend WHERE dbid = ANY({them})"
        f" OR dbid = 0 AND classid = {_DATABASE} AND objid = ANY({them})",
        f"DELETE FROM pg_db_role_setting WHERE setdatabase = ANY({them})",
        f"DELETE FROM pg_shdescription WHERE classoid = {_DATABASE} AND objoid = ANY({them})",
        f"DELETE FROM pg_shseclabel WHERE classoid = {_DATABASE} AND objoid = ANY({them})",
    ]


def adopt(database: int, original: int) -> list[str]:
    """Return the statements that give a copy all that the original had in the shared catalogs."""
    return [
        f"""UPDATE pg_database d
        SET (datdba, datistemplate, datallowconn, datconnlimit, datacl) =
            (s.datdba, s.datistemplate, s.datallowconn, s.datconnlimit, s.datacl)
        FROM public.saved_pg_database s WHERE d.oid = {database} AND s.oid = {original}""",
        f"""INSERT INTO pg_db_role_setting SELECT {database}, setrole, setconfig
        FROM public.saved_pg_db_role_setting WHERE setdatabase = {original}""",
        f"""INSERT INTO pg_shdescription SELECT {database}, classoid, description
        FROM public.saved_pg_shdescription
        WHERE objoid = {original} AND classoid = {_DATABASE}""",
        f"""INSERT INTO pg_shseclabel SELECT {database}, classoid, provider, label
        FROM public.saved_pg_shseclabel
        WHERE objoid = {original} AND classoid = {_DATABASE}""",
        f"""INSERT INTO pg_shdepend
        SELECT {database}, classid, objid, objsubid, refclassid, refobjid, deptype
        FROM public.saved_pg_shdepend WHERE dbid = {original}
        UNION ALL
        SELECT 0, classid, {database}, objsubid, refclassid, refobjid, deptype
        FROM public.saved_pg_shdepend
        WHERE dbid = 0 AND classid = {_DATABASE} AND objid = {original}""",
    ]
