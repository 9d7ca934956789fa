"""What is done to a cluster from our own database in it: let nobody in, clone, drop, settle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dockwright.errors import StackError
from dockwright.reset.base import until_none
from dockwright.reset.postgres.session import (
    Access,
    DriverSession,
    PostgresSession,
    StatementError,
    array,
    identifier,
    quoted,
)
from dockwright.reset.postgres.survey import PREFIX

_MOST_TABLE_BYTES = 1 << 20

POSITION = """
SELECT jsonb_build_array(txid_current(), pg_current_wal_insert_lsn())::text
"""
"""In a transaction that writes: its number, and where the log ends before its own end."""
_MOST_BYTES = 16 << 20
"""More than this is brought back sooner by copying the database's files."""

_LOCK_TIMEOUT_MS = 250

EPOCH = 1 << 32
"""Rows and the log have the lower half of a transaction's number."""

# Filling a table must do nothing else: triggers and rules that fire even for a replica would. And
# what a type's binary form leaves out could not be given back: the declaration of XML.
_TABLES = """
WITH RECURSIVE parts (whole, part) AS (
  SELECT oid, typelem FROM pg_type WHERE typelem <> 0
  UNION ALL SELECT oid, typbasetype FROM pg_type WHERE typbasetype <> 0
  UNION ALL SELECT c.reltype, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped
), inexact (type) AS (
  SELECT oid FROM pg_type WHERE oid = 'xml'::regtype OR typsend = 0 OR typreceive = 0
  UNION SELECT whole FROM parts JOIN inexact ON part = type
)
SELECT coalesce(jsonb_agg(jsonb_build_object(
  'oid', c.oid::bigint,
  'name', format('%I.%I', n.nspname, c.relname),
  'columns', (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''),
  'empty', pg_relation_size(c.oid) = 0,
  'size', pg_table_size(c.oid))), '[]')::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND c.reltablespace = 0
  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('A', 'R'))
  AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled IN ('A', 'R'))
  AND NOT EXISTS (SELECT FROM pg_attribute JOIN inexact ON atttypid = type
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
"""

# Between our encoding and one of these, no text is changed.
_ENCODING = """
SELECT to_jsonb(pg_encoding_max_length(encoding) = 1
  OR encoding = pg_char_to_encoding('UTF8'))::text
FROM pg_database WHERE datname = current_database()
"""

# A session keeps what it has cached of a sequence: such sequences cannot be set back.
_SEQUENCES = """
SELECT coalesce(jsonb_agg(jsonb_build_array(c.oid::bigint, c.oid::regclass::text)), '[]')::text
FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.relpersistence = 'p' AND s.seqcache = 1 AND c.reltablespace = 0
"""

OWNERS = """
SELECT coalesce(jsonb_agg(jsonb_build_array(
  c.relfilenode::bigint, coalesce(inner_owner.oid, i.indrelid, owner.oid, c.oid)::bigint)), '[]'
)::text
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_class owner ON c.relkind = 't' AND owner.reltoastrelid = c.oid
LEFT JOIN pg_class inner_owner ON i.indrelid IS NOT NULL AND inner_owner.reltoastrelid = i.indrelid
WHERE c.reltablespace = 0 AND c.relfilenode = ANY({files})
"""

_OUTCOME = """
WITH heaps AS (
  SELECT oid FROM pg_class WHERE oid = ANY({owners})
  UNION SELECT reltoastrelid FROM pg_class WHERE oid = ANY({owners})
)
SELECT jsonb_build_object('looks', to_jsonb({looks}), 'transaction', txid_current(),
  'files', (SELECT jsonb_agg(relfilenode::bigint) FROM pg_class WHERE oid IN (
    SELECT oid FROM heaps
    UNION SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM heaps)))
)::text
"""


class MoreThanRowsError(StackError):
    """More was changed than rows that can be brought back, or may have been."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Its rows are kept as binary COPY sends them: exactly, whatever settings say about the look of
    numbers, dates or bytes; and COPY knows no rules and no limit on the number of columns.

    Attributes:
        oid: its number, which stays when its file is another one.
        name: qualified and quoted.
        columns: those that are filled, quoted.
        rows: as binary COPY sends them; None: there are none.
        look: a hash of its rows in the order in which they lie; None: it has none.
    """

    oid: int
    name: str
    columns: str
    rows: bytes | None
    look: str | None

    def fill(self, session: DriverSession) -> None:
        """Give the emptied table its rows."""
        if self.rows is not None:
            session.copy_in(
                f"COPY {self.name} ({self.columns}) FROM STDIN (FORMAT binary)", self.rows
            )


@dataclass(frozen=True, slots=True)
class Sequence:
    """Where a sequence stood."""

    oid: int
    last_value: int
    is_called: bool

    @property
    def setting(self) -> str:
        """The statement that sets it back."""
        return f"SELECT setval('{self.oid}', {self.last_value}, {str(self.is_called).lower()})"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back.

    Attributes:
        transaction: the number of the transaction that did it.
        files: the numbers of the files that it may have written to.
    """

    transaction: int
    files: set[int]


class Contents:
    """The rows of one database.

    Args:
        session: in that database, which nobody writes to.
    """

    def __init__(self, session: DriverSession) -> None:
        self._tables = {each.oid: each for each in _tables(session)}
        self._sequences = {each.oid: each for each in _sequences(session)}

    def restore(
        self, session: DriverSession, owners: Mapping[int, int], *, files: int, since: int
    ) -> Restored:
        """Bring back what was written to; all of it or nothing.

        Args:
            session: in the database; to be closed if this fails.
            owners: what `OWNERS` found for the files that were written to.
            files: how many files those are.
            since: the number of the first transaction that may have changed a row.

        Raises:
            MoreThanRowsError: it could not be done.
            StatementError: the server refused, or somebody holds a lock.
        """
        if len(owners) < files:
            raise MoreThanRowsError("catalogs were written to, or tables are gone")
        touched = set(owners.values())
        tables = [table for oid, table in self._tables.items() if oid in touched]
        sequences = [each for oid, each in self._sequences.items() if oid in touched]
        if len(tables) + len(sequences) < len(touched):
            raise MoreThanRowsError("a table or sequence was written to that cannot be filled")
        new = f"xmin::text::bigint >= {since % EPOCH}"
        outcome = session.ask(
            "BEGIN",
            f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
            *(f"LOCK TABLE ONLY {table.name} IN EXCLUSIVE MODE" for table in tables),
            *(f"DELETE FROM ONLY {table.name} WHERE {new}" for table in tables),
            *(each.setting for each in sequences),
            _outcome(tables, touched),
        )
        # Where rows were only added, that was all: the others lie where they lay.
        if changed := _changed(tables, outcome):
            session.run(*(f"DELETE FROM ONLY {table.name}" for table in changed))
            for table in changed:
                table.fill(session)
            outcome = session.ask(_outcome(tables, touched))
        # Free space in front of others may have been used. Nobody may rely on the order of rows,
        # and everybody does.
        if _changed(tables, outcome):
            raise MoreThanRowsError("rows would not be in their old order")
        session.run("COMMIT")
        return Restored(outcome["transaction"], set(outcome["files"]))


def _outcome(tables: Iterable[Table], touched: Collection[int]) -> str:
    looks = _looks([table.name for table in tables])
    return _OUTCOME.format(looks=looks, owners=array(touched))


def _changed(tables: Collection[Table], outcome: Mapping[str, Any]) -> list[Table]:
    """Return the tables that look different from the baseline."""
    return [
        table for table, look in zip(tables, outcome["looks"], strict=True) if look != table.look
    ]


def _looks(names: Iterable[str]) -> str:
    """Return an array of a hash of each table's rows, in the order in which they lie."""
    each = (f"(SELECT md5(string_agg(record_send(t.*), '')) FROM ONLY {name} t)" for name in names)
    return f"ARRAY[{', '.join(each)}]::text[]"


def _tables(session: DriverSession) -> list[Table]:
    """Return the tables that can be brought back row by row, the smallest first."""
    if not session.ask(_ENCODING):
        return []
    kept: list[tuple[dict[str, Any], bytes | None]] = []
    left = _MOST_BYTES
    for found in sorted(session.ask(_TABLES), key=lambda each: int(each["size"])):
        if found["columns"] and found["size"] <= min(left, _MOST_TABLE_BYTES):
            with suppress(StatementError):  # bytes that are no text in its encoding
                rows = None if found["empty"] else _rows(session, found)
                if len(rows or b"") <= _MOST_TABLE_BYTES:  # on disk they may be compressed
                    left -= found["size"]
                    kept.append((found, rows))
    names = [found["name"] for found, _ in kept]
    looks = session.ask(f"SELECT to_jsonb({_looks(names)})::text")
    return [
        Table(found["oid"], found["name"], found["columns"], rows, look)
        for (found, rows), look in zip(kept, looks, strict=True)
    ]


def _rows(session: DriverSession, table: dict[str, Any]) -> bytes:
    return session.copy_out(f"COPY {table['name']} ({table['columns']}) TO STDOUT (FORMAT binary)")


def _sequences(session: PostgresSession) -> list[Sequence]:
    named = session.ask(_SEQUENCES)
    if not named:
        return []
    each = (f"(SELECT jsonb_build_array(last_value, is_called) FROM {name})" for _, name in named)
    stood = session.ask(f"SELECT to_jsonb(ARRAY[{', '.join(each)}])::text")
    return [Sequence(oid, *state) for (oid, _), state in zip(named, stood, strict=True)]


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
SELECT jsonb_build_object('relations', count(*), 'sequences', count(*) FILTER (WHERE relkind = 'S')
)::text FROM pg_class WHERE relpersistence = 'u'
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """A database that nobody may enter, and what was found in it.

    Attributes:
        relations: how many tables, indexes and sequences are not logged.
        sequences: how many of those are sequences.
        contents: its rows; None where they were not asked for or cannot be brought back.
    """

    relations: int
    sequences: int
    contents: Contents | None


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

    def settle(self, database: int, name: str, *, with_contents: bool) -> Settled:
        """Shut a database and make each sequence in it log its next value.

        A sequence logs 32 values at once and then gives 31 that leave no trace.

        Args:
            database: its OID.
            name: its name.
            with_contents: whether its rows are to be read.
        """
        inside = self.access.connect(name)
        try:
            self.shut([database], keep=[inside.ask("SELECT to_jsonb(pg_backend_pid())::text")])
            inside.run(_PERSISTENT_SEQUENCES)
            unlogged = inside.ask(_UNLOGGED)
            readable = with_contents and not unlogged["relations"]
            contents = Contents(inside) if readable and isinstance(inside, DriverSession) else None
        finally:
            inside.close()
        self.shut([database])
        return Settled(**unlogged, contents=contents)

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
