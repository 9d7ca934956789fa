"""What a cluster looks like: one cheap look for the ordinary case, one at everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from dockwright.reset.postgres import catalogs
from dockwright.reset.postgres.session import Session
from dockwright.reset.postgres.sql import quoted

PREFIX = "dockwright"
"""Our databases are called so: ``dockwright``, ``dockwright_template_0``, ..."""

SURE_STATISTICS = 150000
"""From this version on a session writes its counters to shared memory before it is gone, so that a
database whose counters stand still was not entered. Before, they were sent and could be lost."""

_GLANCE = """
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
  'slots', (SELECT coalesce(jsonb_object_agg(slot_name, slot_type || restart_lsn), '{}')
    FROM pg_replication_slots),
  'origins', (SELECT coalesce(jsonb_object_agg(external_id, remote_lsn), '{}')
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
class Glance:
    """What tells whether anything was written at all.

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
        slots: the replication slots, by name.
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
    def take(cls, session: Session) -> Glance:
        """Look at the server."""
        return cls(**session.ask(_GLANCE))


class Identity(NamedTuple):
    """Tells whether a database that lets nobody in was touched; see `Database`."""

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
class Survey:
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
    def take(cls, session: Session, *, version: int, names: list[str]) -> Survey:
        """Look at a server of this version that has these shared catalogs."""
        activity = _ACTIVITY if version >= SURE_STATISTICS else "NULL"
        query = _SURVEY % {
            "catalogs": catalogs.fingerprints(names),
            "own": catalogs.own_fingerprints(names),
            "activity": activity,
            "look": _LOOK,
        }
        answer: dict[str, Any] = session.ask(query)
        databases = [Database(**each) for each in answer.pop("databases")]
        return cls(**answer, databases={each.name: each for each in databases})

    @staticmethod
    def identity_of(session: Session, name: str) -> Identity:
        """Return what identifies one database."""
        return Identity(*session.ask(_IDENTITY % {"look": _LOOK, "name": quoted(name)}))

    @staticmethod
    def oids(session: Session) -> dict[str, int]:
        """Return the databases' numbers by name."""
        found: dict[str, int] = session.ask(_OIDS)
        return found
