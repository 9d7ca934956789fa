"""What is done to a cluster from our own database in it: let nobody in, clone, drop, settle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dockwright.reset.base import until_none
from dockwright.reset.postgres.session import Access, PostgresSession, array, identifier, quoted
from dockwright.reset.postgres.survey import OBJECTS, PREFIX
from dockwright.reset.postgres.undo import Sequence, sequences

POSITION = """
SELECT jsonb_build_array(txid_current(), pg_current_wal_insert_lsn())::text
"""
"""In a transaction that writes: its number, and where the log ends before its own end."""

TRASH = f"{PREFIX}_trash_"
"""Dirty databases that wait to be dropped are called so."""

_PERSISTENT_SEQUENCES = """
DO $$
DECLARE sequence regclass;
BEGIN
  FOR sequence IN SELECT oid FROM pg_class WHERE relkind = 'S' AND relpersistence = 'p' LOOP
    EXECUTE
      format('SELECT setval(%L::regclass, last_value, is_called) FROM %s', sequence, sequence);
  END LOOP;
END $$
"""
_UNLOGGED = """
SELECT jsonb_build_object('size', pg_database_size(current_database()),
  'relations', count(*), 'sequences', count(*) FILTER (WHERE relkind = 'S')
)::text FROM pg_class WHERE relpersistence = 'u'
"""

_UNSET = """
SELECT coalesce(jsonb_agg(name), '[]')::text FROM pg_settings
WHERE name IN ('fsync', 'autovacuum') AND source = 'default'
"""


@dataclass(frozen=True, slots=True)
class ClosedDatabase:
    """A database that nobody may enter, and what was found in it.

    Attributes:
        size: in bytes.
        relations: how many tables, indexes and sequences are not logged.
        sequences: how many of those are sequences.
        stood: its sequences that can be set back, by their OID.
        objects: what is defined in it, see `OBJECTS`.
    """

    size: int
    relations: int
    sequences: int
    stood: Mapping[int, Sequence]
    objects: Mapping[str, str]


class Cluster:
    """A server as its superuser sees it from our own database.

    Args:
        access: how to connect to the other databases.
        session: the session in our own one.
    """

    def __init__(self, access: Access, session: PostgresSession) -> None:
        self.access = access
        self.session = session

    def shut(self, databases: Collection[int], keep: Collection[int] = ()) -> None:
        """Let nobody into databases, and end the sessions in them.

        Not left to `DROP ... FORCE` and its kin: those look again only after 100 ms.

        Args:
            databases: OIDs.
            keep: the sessions (pids) that stay.

        Raises:
            StackBrokenError: a session does not end.
        """
        if not databases:
            return
        self.session.run(
            "UPDATE pg_database SET datallowconn = false, datistemplate = false"
            f" WHERE oid = ANY({array(databases)})"
        )
        count = f"""SELECT to_jsonb(count(pg_terminate_backend(pid)))::text FROM pg_stat_activity
            WHERE datid = ANY({array(databases)}) AND pid <> ALL({array(keep)})"""
        self._until_none(count, "sessions in its databases")

    def drop_slots(self, names: Collection[str]) -> None:
        """Drop replication slots, and end who streams from them."""
        if not names:
            return
        wanted = ", ".join(quoted(name) for name in names)
        count = f"""SELECT to_jsonb(count(pg_terminate_backend(active_pid)))::text
            FROM pg_replication_slots WHERE active AND slot_name IN ({wanted})"""
        self._until_none(count, "replication connections")
        self.session.run(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            f" WHERE slot_name IN ({wanted})"
        )

    def roll_back_prepared(self, prepared: Collection[list[str]]) -> None:
        """Roll prepared transactions back, each from inside its database."""
        for transaction, database in prepared:
            session = self.access.connect(database)
            try:
                session.run(f"ROLLBACK PREPARED {quoted(transaction)}")
            finally:
                session.close()

    def settle(self, database: int, name: str) -> ClosedDatabase:
        """Shut a database and make each sequence in it log its next value.

        A sequence logs 32 values at once and then gives 31 that leave no trace.

        Args:
            database: its OID.
            name: its name.
        """
        inside = self.access.connect(name)
        try:
            self.shut([database], keep=[inside.ask("SELECT to_jsonb(pg_backend_pid())::text")])
            inside.run(_PERSISTENT_SEQUENCES)
            unlogged = inside.ask(_UNLOGGED)
            stood = sequences(inside)
            objects = inside.ask(OBJECTS)
        finally:
            inside.close()
        self.shut([database])
        return ClosedDatabase(**unlogged, stood=stood, objects=objects)

    def expel_predecessors(self) -> None:
        """End other sessions in our own database, and with them what they still clone or drop."""
        count = f"""SELECT to_jsonb(count(pg_terminate_backend(pid)))::text FROM pg_stat_activity
            WHERE datname = '{PREFIX}' AND pid <> pg_backend_pid()"""
        self._until_none(count, "sessions in our own database")

    def clone(self, source: str, name: str, *, by_files: bool = False) -> None:
        """Make a copy that nobody may enter.

        Args:
            source: the database.
            name: of the copy.
            by_files: copy files instead of logging each page; makes two checkpoints.
        """
        strategy = " STRATEGY file_copy" if by_files else ""
        self.session.run(
            f"CREATE DATABASE {name} TEMPLATE {identifier(source)} ALLOW_CONNECTIONS false"
            + strategy
        )

    def drop_origins(self, names: Collection[str]) -> None:
        """Forget how far replication from these origins got, and the origins."""
        for name in names:
            self.session.run(f"SELECT pg_replication_origin_drop({quoted(name)})")

    def advance_origins(self, positions: Mapping[str, str]) -> None:
        """Set how far replication got, by the name of its origin; also back."""
        for name, position in positions.items():
            self.session.run(
                f"SELECT pg_replication_origin_advance({quoted(name)}, {quoted(position)})"
            )

    def make_disposable(self) -> None:
        """Let the server not wait for the disk, nor tidy up by itself, unless somebody set that.

        For servers that are started by a script: others have it on their command line.
        """
        unset = self.session.ask(_UNSET)
        for name in unset:
            self.session.run(f"ALTER SYSTEM SET {name} = off")
        if unset:
            self.reload()

    def alter_system(self, settings: Collection[list[str]]) -> None:
        """Bring back what ALTER SYSTEM had set; the server has not read it yet."""
        self.session.run("ALTER SYSTEM RESET ALL")
        for name, value in settings:
            self.session.run(f"ALTER SYSTEM SET {name} = {value}")

    def reload(self) -> None:
        """Have the server read its configuration files, and wait until it has."""
        loaded = "SELECT to_jsonb(pg_conf_load_time())::text"
        before = self.session.ask(loaded)
        self.session.run("SELECT pg_reload_conf()")
        same = f"SELECT to_jsonb((pg_conf_load_time() = {quoted(before)})::int)::text"
        self._until_none(same, "unread settings")

    def _until_none(self, count: str, what: str) -> None:
        until_none(lambda: self.session.ask(count), what)


def template_name(original: int) -> str:
    """Return the name of the template of the database that had this OID at the baseline."""
    return f"{PREFIX}_template_{original}"


def spare_name(original: int) -> str:
    """Return the name of its spare."""
    return f"{PREFIX}_spare_{original}"


def trash_name(database: int) -> str:
    """Return the name under which a dirty database waits to be dropped."""
    return f"{TRASH}{database}"
