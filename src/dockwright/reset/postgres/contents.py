"""The rows of one database's small tables as they were at the baseline, and the way back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dockwright.reset.postgres.session import Session
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
  'columns', (SELECT jsonb_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute
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
        filling: the statements that empty it and give it its rows.
        look: a hash of its rows in the order in which they lie; None: it has none.
    """

    oid: int
    name: str
    filling: tuple[str, ...]
    look: str | None


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

    def __init__(self, session: Session) -> None:
        self._tables = {each.oid: each for each in _tables(session)}
        self._sequences = {each.oid: each for each in _sequences(session)}

    def restore(self, session: Session, files: Collection[int]) -> bool:
        """Bring back what was written to; all of it or nothing.

        Args:
            session: in the database; to be closed if this returns false.
            files: the numbers of the files that were written to.

        Returns:
            Whether it could be done.
        """
        owners = dict(session.ask(_OWNERS.format(files=array(files))))
        if len(owners) < len(files):
            return False  # catalogs, and what is gone
        touched = set(owners.values())
        tables = [table for oid, table in self._tables.items() if oid in touched]
        sequences = [each for oid, each in self._sequences.items() if oid in touched]
        if len(tables) + len(sequences) < len(touched):
            return False
        looks = session.ask(
            "BEGIN",
            "SET LOCAL session_replication_role = replica",
            f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
            *(f"LOCK TABLE ONLY {table.name} IN EXCLUSIVE MODE" for table in tables),
            *(statement for table in tables for statement in table.filling),
            *(each.setting for each in sequences),
            _looks([table.name for table in tables]),
        )
        # Free space in front of others may have been used. Nobody may rely on the order of rows,
        # and everybody does.
        if looks != [table.look for table in tables]:
            return False
        session.run("COMMIT")
        return True


def _looks(names: Iterable[str]) -> str:
    """Return the query for a hash of each table's rows in the order in which they lie."""
    each = (f"(SELECT md5(string_agg(t::text, '|')) FROM ONLY {name} t)" for name in names)
    return f"SELECT jsonb_build_array({', '.join(each)})::text"


def _tables(session: Session) -> list[Table]:
    small = []
    left = _MOST_BYTES
    for found in sorted(session.ask(_TABLES), key=lambda each: int(each["size"])):
        if found["columns"] and found["size"] <= min(left, _MOST_TABLE_BYTES):
            left -= found["size"]
            small.append(found)
    if not small:
        return []
    names = [found["name"] for found in small]
    rows = session.ask(f"SELECT jsonb_build_array({', '.join(map(_rows, small))})::text")
    return [
        Table(found["oid"], found["name"], _filling(found["name"], found["columns"], values), look)
        for found, values, look in zip(small, rows, session.ask(_looks(names)), strict=True)
    ]


def _rows(table: dict[str, list[str]]) -> str:
    """Return the query for a table's rows as an INSERT statement has them."""
    values = ", ".join(f"quote_nullable({column})" for column in table["columns"])
    return (
        f"(SELECT string_agg('(' || concat_ws(', ', {values}) || ')', ', ')"
        f" FROM ONLY {table['name']})"
    )


def _filling(name: str, columns: Iterable[str], rows: str | None) -> tuple[str, ...]:
    emptying = f"DELETE FROM ONLY {name}"
    if rows is None:
        return (emptying,)
    named = ", ".join(columns)
    return (emptying, f"INSERT INTO {name} ({named}) OVERRIDING SYSTEM VALUE VALUES {rows}")


def _sequences(session: Session) -> list[Sequence]:
    named = session.ask(_SEQUENCES)
    if not named:
        return []
    each = (f"SELECT {oid} AS oid, last_value, is_called FROM {name}" for oid, name in named)
    found = session.ask(
        "SELECT jsonb_agg(jsonb_build_array(oid, last_value, is_called))::text"
        f" FROM ({' UNION ALL '.join(each)}) s"
    )
    return [Sequence(*one) for one in found]
