"""What a cluster looks like: one cheap look for the ordinary case, one at everything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from dockwright.reset.postgres.session import PostgresSession, array, quoted

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


PREFIX = "dockwright"
"""Our databases are called so: ``dockwright``, ``dockwright_template_0``, ..."""

SURE_STATISTICS = 150000
"""From this version on a session writes its counters to shared memory before it is gone, so that a
database whose counters stand still was not entered. Before, they were sent and could be lost."""

_GLANCE = f"""
SELECT jsonb_build_object(
  'next_transaction', txid_snapshot_xmax(txid_current_snapshot()),
  'locks', (SELECT count(*) FROM pg_locks WHERE pid IS DISTINCT FROM pg_backend_pid()),
  'server', (SELECT backend_start::text FROM pg_stat_activity WHERE backend_type = 'checkpointer'),
  'statistics', (SELECT stats_reset::text FROM pg_stat_bgwriter),
  'loaded', extract(epoch FROM pg_conf_load_time())::text,
  'files', md5(pg_read_binary_file(current_setting('config_file'))
    || pg_read_binary_file(current_setting('hba_file'))
    || pg_read_binary_file(current_setting('ident_file'))
    || (SELECT string_agg(name, '/' ORDER BY name) FROM pg_ls_dir('.') name
        WHERE name NOT LIKE 'postgresql.auto.conf.%')::bytea),
  'altered', md5(pg_read_binary_file('postgresql.auto.conf')),
  'slots', (SELECT coalesce(jsonb_object_agg(slot_name, slot_type || restart_lsn), '{{}}')
    FROM pg_replication_slots WHERE slot_name <> '{PREFIX}'),
  'origins', (SELECT coalesce(jsonb_object_agg(external_id, remote_lsn), '{{}}')
    FROM pg_replication_origin_status WHERE external_id IS NOT NULL)
)::text
"""

# The table of databases, without what vacuum writes into it, and what others say of a database.
_LOOK = """
concat_ws('|', to_jsonb(d) - '{oid,datfrozenxid,datminmxid}'::text[],
  (SELECT string_agg(setrole || setconfig::text, '|' ORDER BY setrole)
   FROM pg_db_role_setting WHERE setdatabase = d.oid),
  (SELECT string_agg(provider || label, '|' ORDER BY provider)
   FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = d.oid),
  shobj_description(oid, 'pg_database'))
"""

_SURVEY = """
SELECT jsonb_build_object(
  'catalogs', %(catalogs)s,
  'own', jsonb_build_array(%(own)s),
  'prepared', (SELECT coalesce(jsonb_agg(jsonb_build_array(gid, database)), '[]')
    FROM pg_prepared_xacts),
  'subscriptions', (SELECT count(*) FROM pg_subscription),
  'tablespaces', (SELECT jsonb_agg(t::text ORDER BY oid) FROM pg_tablespace t),
  'databases', (SELECT jsonb_agg(jsonb_build_object(
      'oid', oid::bigint, 'name', datname, 'open', datallowconn,
      'row', xmin::text, 'look', %(look)s,
      -- In this order: a session adds to the counters before it ceases to be one.
      'sessions', pg_stat_get_db_numbackends(oid),
      'activity', %(activity)s))
    FROM pg_database d)
)::text
"""

_IDENTITY = """
SELECT jsonb_build_array(oid::bigint, xmin::text, %(look)s)::text
FROM pg_database d WHERE datname = %(name)s
"""

_NAMELESS = (
    "pg_cast", "pg_collation", "pg_conversion", "pg_default_acl", "pg_description", "pg_enum",
    "pg_event_trigger", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_language",
    "pg_largeobject_metadata", "pg_opclass", "pg_operator", "pg_opfamily", "pg_publication",
    "pg_publication_rel", "pg_rewrite", "pg_seclabel", "pg_statistic_ext", "pg_transform",
    "pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_user_mapping",
)  # fmt: skip
"""Catalogs of what is seldom changed: a change is reported without the name of what it is about."""

OBJECTS = (
    """
SELECT coalesce(jsonb_object_agg(name, version), '{}')::text FROM (
  SELECT concat_ws(' ', CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view'
      WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
      ELSE 'table' END, format('%I.%I', nspname, relname)) AS name,
    concat_ws('/', c.xmin, relfilenode, (SELECT concat(count(*), '/', sum(a.xmin::text::bigint))
      FROM pg_attribute a WHERE attrelid = c.oid)) AS version
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE c.oid >= 16384 AND relpersistence <> 't' AND nspname <> 'pg_toast'
    AND relkind NOT IN ('i', 'I')
  UNION ALL SELECT format('function %I.%I(%s)', nspname, proname,
    pg_get_function_identity_arguments(p.oid)), p.xmin::text
  FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid >= 16384
  UNION ALL SELECT format('type %I.%I', nspname, typname), t.xmin::text
  FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid >= 16384 AND typrelid = 0
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
  UNION ALL SELECT concat('schema ', nspname), xmin::text
  FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT concat('extension ', extname), xmin::text FROM pg_extension
  UNION ALL SELECT format('%s of %I.%I', part.name, nspname, relname), version FROM (
    SELECT format('trigger %I', tgname) AS name, tgrelid AS relation, xmin::text AS version
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('policy %I', polname), polrelid, xmin::text FROM pg_policy
    UNION ALL SELECT format('constraint %I', conname), conrelid, xmin::text FROM pg_constraint
    UNION ALL SELECT format('index %I', relname), indrelid, concat_ws('/', c.xmin, relfilenode)
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
  ) part JOIN pg_class c ON c.oid = relation JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relpersistence <> 't' AND c.oid >= 16384 AND nspname <> 'pg_toast'
"""
    + "".join(
        f"  UNION ALL SELECT 'catalog {name}', concat(count(*), '/', sum(xmin::text::bigint))"
        f" FROM {name}\n"
        for name in _NAMELESS
    )
    + ") found"
)
"""What is defined in a database: a text that is another one after each change, by kind and name."""

_ACTIVITY = """jsonb_build_array(pg_stat_get_db_sessions(oid), pg_stat_get_db_xact_commit(oid),
  pg_stat_get_db_xact_rollback(oid))"""

_OIDS = "SELECT jsonb_object_agg(datname, oid::bigint)::text FROM pg_database"

SETTINGS = """
SELECT to_jsonb(md5(string_agg(name || '=' || coalesce(setting, ''), '|' ORDER BY name)))::text
FROM pg_settings WHERE context IN ('postmaster', 'sighup')
"""

ALTERED_SETTINGS = """
SELECT coalesce(jsonb_agg(jsonb_build_array(quote_ident(name), quote_literal(setting))
  ORDER BY seqno), '[]')::text
FROM pg_file_settings WHERE sourcefile LIKE '%/postgresql.auto.conf'
"""


@dataclass(frozen=True, slots=True)
class QuickState:
    """What shows whether anything was written at all.

    A transaction gets a number before it writes its first row, sequence value or catalog entry, and
    locks while it lives: as long as no number was given and no lock is held, all data is as it was.
    Only what is no table data needs a look of its own: configuration files and replication slots.

    Attributes:
        next_transaction: the number that follows the last one that was given.
        locks: how many locks others hold: open transactions, advisory locks.
        server: another one after each restart, also the one that follows the crash of a process.
        statistics: since when it counts: another time after a crash, not after a restart.
        loaded: when it last read its configuration files.
        files: a hash of the configuration files, and of the names of what lies beside its data.
        altered: a hash of the file that ALTER SYSTEM writes.
        slots: the replication slots of others, by name.
        origins: how far replication got, by the name of its origin.
    """

    next_transaction: int
    locks: int
    server: str
    statistics: str | None
    loaded: str
    files: str
    altered: str
    slots: dict[str, str | None]
    origins: dict[str, str]

    @classmethod
    def take(cls, session: PostgresSession) -> QuickState:
        """Look at the server."""
        return cls(**session.ask(_GLANCE))


class Identity(NamedTuple):
    """Finds out whether a database that allows no connections was touched; see `Database`."""

    oid: int
    row: str
    look: str


@dataclass(frozen=True, slots=True)
class Database:
    """One database.

    Attributes:
        oid: its number; a database that was dropped and created again has another.
        name: its name.
        open: whether sessions are let in.
        row: the number of the transaction that wrote its row in `pg_database`: another one after
            each ALTER DATABASE, also after one that let sessions in for a while.
        look: owner, privileges, settings, comment: all about it that is not inside it.
        sessions: how many there are in it now.
        activity: counters that change with each session; None where they are not sure.
    """

    oid: int
    name: str
    open: bool
    row: str
    look: str
    sessions: int
    activity: list[int] | None

    @property
    def identity(self) -> Identity:
        """What stays as it is as long as nobody touches a database that lets nobody in."""
        return Identity(self.oid, self.row, self.look)

    @property
    def ours(self) -> bool:
        """Whether a strategy made it."""
        return self.name == PREFIX or self.name.startswith(f"{PREFIX}_")


@dataclass(frozen=True, slots=True)
class FullState:
    """Everything outside the databases' contents.

    Attributes:
        catalogs: hashes of the rows of the shared catalogs, by name.
        own: what our own database holds.
        prepared: the prepared transactions: identifier and database.
        subscriptions: how many there are.
        tablespaces: they, as rows.
        databases: by name.
    """

    catalogs: dict[str, str | None]
    own: list[str]
    prepared: list[list[str]]
    subscriptions: int
    tablespaces: list[str]
    databases: dict[str, Database]

    @classmethod
    def take(cls, session: PostgresSession, *, version: int, names: list[str]) -> FullState:
        """Look at a server of this version that has these shared catalogs."""
        activity = _ACTIVITY if version >= SURE_STATISTICS else "NULL"
        query = _SURVEY % {
            "catalogs": fingerprints(names),
            "own": own_fingerprints(names),
            "activity": activity,
            "look": _LOOK,
        }
        answer: dict[str, Any] = session.ask(query)
        databases = [Database(**each) for each in answer.pop("databases")]
        return cls(**answer, databases={each.name: each for each in databases})

    @staticmethod
    def identity_of(session: PostgresSession, name: str) -> Identity:
        """Return what identifies one database."""
        return Identity(*session.ask(_IDENTITY % {"look": _LOOK, "name": quoted(name)}))

    @staticmethod
    def oids(session: PostgresSession) -> dict[str, int]:
        """Return the databases' numbers by name."""
        found: dict[str, int] = session.ask(_OIDS)
        return found
