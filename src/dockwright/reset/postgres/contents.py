"""The rows of one database's small tables as they were at the baseline, and the way back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from dockwright.reset.postgres.session import DriverSession
from dockwright.reset.postgres.sql import array

_MOST_TABLE_BYTES = 1 << 20
_MOST_BYTES = 16 << 20
"""More than this is brought back sooner by copying the database's files."""

_LOCK_TIMEOUT_MS = 250

# A table with triggers that fire even for a replica cannot be filled without side effects.
_TABLES = """
SELECT coalesce(jsonb_agg(jsonb_build_object(
  'oid', c.oid::bigint,
  'name', format('%I.%I', n.nspname, c.relname),
  'columns', (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''),
  'size', pg_table_size(c.oid))), '[]')::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND c.reltablespace = 0
  AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('A', 'R'))
"""

# A session keeps what it has cached of a sequence: such sequences cannot be set back.
_SEQUENCES = """
SELECT coalesce(jsonb_agg(jsonb_build_array(c.oid::bigint, c.oid::regclass::text)), '[]')::text
FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.relpersistence = 'p' AND s.seqcache = 1 AND c.reltablespace = 0
"""

_OWNERS = """
SELECT coalesce(jsonb_agg(jsonb_build_array(
  c.relfilenode::bigint, coalesce(inner_owner.oid, i.indrelid, owner.oid, c.oid)::bigint)), '[]'
)::text
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_class owner ON c.relkind = 't' AND owner.reltoastrelid = c.oid
LEFT JOIN pg_class inner_owner ON i.indrelid IS NOT NULL AND inner_owner.reltoastrelid = i.indrelid
WHERE c.reltablespace = 0 AND c.relfilenode = ANY({files})
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        oid: its number, which stays when its file is another one.
        name: qualified and quoted.
        columns: that can be written to, quoted and separated by commas.
        size: in bytes.
        rows: its content as COPY gives it; None: it is too large.
    """

    oid: int
    name: str
    columns: str
    size: int
    rows: bytes | None = None

    @property
    def reading(self) -> str:
        """The statement that gives its rows."""
        return f"COPY {self.name} ({self.columns}) TO STDOUT"


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


class Contents:
    """The rows of one database.

    Args:
        session: in that database, which nobody writes to.
    """

    def __init__(self, session: DriverSession) -> None:
        self._tables = {each.oid: each for each in _tables(session)}
        self._sequences = {each.oid: each for each in _sequences(session)}

    def restore(self, session: DriverSession, files: Collection[int]) -> bool:
        """Bring back what was written to; all of it or nothing.

        Args:
            session: in the database.
            files: the numbers of the files that were written to.

        Returns:
            Whether it could be done.
        """
        owners = dict(session.ask(_OWNERS.format(files=array(files))))
        if len(owners) < len(files):
            return False  # catalogs, and what is gone
        touched = set(owners.values())
        tables = [self._tables.get(oid) for oid in touched - self._sequences.keys()]
        known = [table for table in tables if table is not None and table.rows is not None]
        if len(known) < len(tables):
            return False
        session.run(
            "BEGIN",
            "SET LOCAL session_replication_role = replica",
            f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
            *(f"LOCK TABLE ONLY {table.name} IN EXCLUSIVE MODE" for table in known),
        )
        if not all(self._replace_rows(session, table) for table in known):
            return False  # closing the session takes back what was done
        sequences = [each for oid, each in self._sequences.items() if oid in touched]
        session.run(*(each.setting for each in sequences), "COMMIT")
        return True

    @staticmethod
    def _replace_rows(session: DriverSession, table: Table) -> bool:
        """Give a table its rows, in the order that they had; tell whether they have it."""
        session.run(f"DELETE FROM ONLY {table.name}")
        if table.rows:
            session.copy_in(f"COPY {table.name} ({table.columns}) FROM STDIN", table.rows)
        # Free space in front of others may have been used. Nobody may rely on the order of rows,
        # and everybody does.
        return session.copy_out(table.reading) == table.rows


def _tables(session: DriverSession) -> Iterable[Table]:
    left = _MOST_BYTES
    for found in sorted(session.ask(_TABLES), key=lambda each: int(each["size"])):
        table = Table(**found)
        if table.columns and table.size <= min(left, _MOST_TABLE_BYTES):
            left -= table.size
            table = replace(table, rows=session.copy_out(table.reading))
        yield table


def _sequences(session: DriverSession) -> Iterable[Sequence]:
    named = session.ask(_SEQUENCES)
    if not named:
        return []
    each = (f"SELECT {oid} AS oid, last_value, is_called FROM {name}" for oid, name in named)
    found = session.ask(
        "SELECT jsonb_agg(jsonb_build_array(oid, last_value, is_called))::text"
        f" FROM ({' UNION ALL '.join(each)}) s"
    )
    return [Sequence(*one) for one in found]
