"""Undoes what transactions did to the tables of one database, in the pages where the rows lie.

A row version that a test wrote is removed, and one that it deleted is made visible again. That
takes as long as there are pages that were written to, whatever the tables hold; each row is where
it was, to the last bit; and neither triggers nor constraints nor indexes have a part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dockwright.errors import StackError
from dockwright.reset.postgres.history import EPOCH, Blocks
from dockwright.reset.postgres.session import PostgresSession, array

_LOCK_TIMEOUT_MS = 250

# Large objects lie in catalogs of which no session keeps anything in its memory.
_OWNERS = """
SELECT coalesce(jsonb_agg(jsonb_build_object('file', c.relfilenode::bigint, 'oid', c.oid::bigint,
  'kind', c.relkind, 'name', format('%I.%I', n.nspname, c.relname),
  'pages', pg_relation_size(c.oid) / current_setting('block_size')::int)), '[]')::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relfilenode = ANY({files}) AND c.reltablespace = 0 AND (c.relkind IN ('i', 'S')
  OR c.relkind IN ('r', 'm', 't') AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
    AND (c.oid >= 16384 OR c.oid IN (
      'pg_largeobject'::regclass, 'pg_largeobject_metadata'::regclass)))
"""

# Rolled back in the end: nobody else ever sees these functions.
_TOOLS = (
    """CREATE FUNCTION pg_catalog.dockwright_page(text, text, int8) RETURNS bytea
    LANGUAGE c STRICT AS '$libdir/pageinspect', 'get_raw_page_fork_1_9'""",
    """CREATE FUNCTION pg_catalog.dockwright_items(IN page bytea, OUT lp int2, OUT lp_off int2,
      OUT lp_flags int2, OUT lp_len int2, OUT t_xmin xid, OUT t_xmax xid, OUT t_field3 int4,
      OUT t_ctid tid, OUT t_infomask2 int4, OUT t_infomask int4, OUT t_hoff int2, OUT t_bits text,
      OUT t_oid oid, OUT t_data bytea) RETURNS SETOF record
    LANGUAGE c STRICT AS '$libdir/pageinspect', 'heap_page_items'""",
    """CREATE FUNCTION pg_catalog.dockwright_remove(regclass, tid[]) RETURNS void
    LANGUAGE c STRICT AS '$libdir/pg_surgery', 'heap_force_kill'""",
    """CREATE FUNCTION pg_catalog.dockwright_revive(regclass, tid[]) RETURNS void
    LANGUAGE c STRICT AS '$libdir/pg_surgery', 'heap_force_freeze'""",
)

_REDIRECT, _NORMAL = 2, 1
_XMAX_LOCKED_ONLY, _XMAX_INVALID, _XMAX_IS_MULTI = 0x0080, 0x0800, 0x1000
_HEAP_ONLY = 0x8000

_IS_NEW = "({0} > 2 AND ({0} - {since} & 4294967295) < 2147483648)"

# To make a version visible means to forget which transaction wrote it. Where an index leads to it
# through an older version of the same row, that chain would break: the table is tidied first.
_UNDO = f"""
WITH items AS MATERIALIZED (
  SELECT c.oid, block, i.*, t_xmin::text::bigint AS wrote, t_xmax::text::bigint AS deleted
  FROM unnest({{oids}}::oid[], {{blocks}}::bigint[]) AS t (relation, block)
  JOIN pg_class c ON c.oid = relation JOIN pg_namespace n ON n.oid = c.relnamespace,
    pg_catalog.dockwright_items(
      pg_catalog.dockwright_page(format('%I.%I', n.nspname, c.relname), 'main', block)) i
), versions AS MATERIALIZED (
  SELECT oid, block, lp, format('(%s,%s)', block, lp)::tid AS tid, is_new,
    {{appeared}} AS appeared, {{vanished}} AS vanished, t_infomask2 & {_HEAP_ONLY} <> 0 AS heap_only
  FROM items, LATERAL (SELECT {_IS_NEW.format("wrote", since="{since}")} AS is_new) n
  WHERE lp_flags = {_NORMAL} AND (is_new OR
    wrote <> 0 AND t_infomask & {_XMAX_INVALID | _XMAX_LOCKED_ONLY} = 0
    AND CASE WHEN t_infomask & {_XMAX_IS_MULTI} = 0
      THEN {_IS_NEW.format("deleted", since="{since}")}
      ELSE EXISTS (SELECT FROM pg_get_multixact_members(t_xmax) m WHERE m.mode LIKE '%upd'
        AND m.mode NOT LIKE 'for%' AND {_IS_NEW.format("m.xid::text::bigint", since="{since}")})
      END)
), chained AS MATERIALIZED (
  SELECT DISTINCT oid FROM versions v WHERE heap_only AND NOT is_new
    AND (oid, block, lp) NOT IN (
      SELECT oid, block, lp_off FROM items WHERE lp_flags = {_REDIRECT})
), undone AS MATERIALIZED (
  SELECT oid, count(*) FILTER (WHERE is_new) AS removed,
    count(*) FILTER (WHERE appeared) AS appeared, count(*) FILTER (WHERE vanished) AS vanished,
    pg_catalog.dockwright_revive(oid, array_agg(tid) FILTER (WHERE NOT is_new)),
    pg_catalog.dockwright_remove(oid, array_agg(tid) FILTER (WHERE is_new))
  FROM versions WHERE NOT EXISTS (SELECT FROM chained) GROUP BY oid
)
SELECT jsonb_build_object('transaction', txid_current(),
  'chained', (SELECT coalesce(jsonb_agg(oid::regclass), '[]') FROM chained),
  'changed', (SELECT coalesce(jsonb_agg(
    jsonb_build_array(oid::bigint, removed, appeared, vanished)), '[]') FROM undone)
)::text
"""

# What others could see: of transactions that were rolled back, they saw nothing.
_COMMITTED = (
    "coalesce(txid_status({since_full} + (({0} - {since}) & 4294967295)) = 'committed', false)"
)
_IS_DELETED = f"""(t_infomask & {_XMAX_INVALID | _XMAX_LOCKED_ONLY} = 0 AND
  CASE WHEN t_infomask & {_XMAX_IS_MULTI} <> 0 THEN true
    WHEN {_IS_NEW.format("deleted", since="{since}")}
    THEN {_COMMITTED.replace("{0}", "deleted")} ELSE false END)"""
_APPEARED = f"""CASE WHEN is_new THEN {_COMMITTED.replace("{0}", "wrote")} AND NOT {_IS_DELETED}
  ELSE false END"""
_VANISHED = f"CASE WHEN is_new THEN false ELSE {_IS_DELETED} END"

# A session keeps what it has cached of a sequence: such sequences cannot be set back.
_SEQUENCES = """
SELECT coalesce(jsonb_agg(jsonb_build_array(c.oid::bigint, c.oid::regclass::text)), '[]')::text
FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.relpersistence = 'p' AND s.seqcache = 1 AND c.reltablespace = 0
"""


class MoreThanRowsError(StackError):
    """More was changed than rows that can be brought back, or may have been."""


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


def sequences(session: PostgresSession) -> dict[int, Sequence]:
    """Return where the sequences of a database stand, those that can be set back."""
    named = session.ask(_SEQUENCES)
    if not named:
        return {}
    each = (f"(SELECT jsonb_build_array(last_value, is_called) FROM {name})" for _, name in named)
    stood = session.ask(f"SELECT to_jsonb(ARRAY[{', '.join(each)}])::text")
    return {oid: Sequence(oid, *state) for (oid, _), state in zip(named, stood, strict=True)}


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, an index or a sequence that was written to.

    Attributes:
        file: the number of its file.
        oid: its own number.
        kind: as in `pg_class`.
        name: qualified and quoted.
        pages: how many it has.
    """

    file: int
    oid: int
    kind: str
    name: str
    pages: int

    @staticmethod
    def question(files: Collection[int]) -> str:
        """Return the query for the relations that have these files, and can be brought back."""
        return _OWNERS.format(files=array(files))


@dataclass(frozen=True, slots=True)
class Undone:
    """What was brought back.

    Attributes:
        transactions: the numbers of the transactions that did it, and were rolled back.
        files: the numbers of the files of the sequences that it set.
        removed: how many row versions it removed, by the OID of their table.
        rows: how many rows others could see that were added or changed, and how many that were
            deleted or changed, by the OID of their table; counted only if that was asked for.
    """

    transactions: Collection[int]
    files: Collection[int]
    removed: Mapping[int, int]
    rows: Mapping[int, tuple[int, int]]


def undo(
    session: PostgresSession,
    relations: Collection[Relation],
    stood: Mapping[int, Sequence],
    touched: Blocks,
    *,
    since: int,
    counts: bool = False,
) -> Undone:
    """Undo what was done to tables and sequences.

    Args:
        session: in the database; to be closed if this fails.
        relations: those that were written to.
        stood: where the sequences stood.
        touched: the blocks of the relations' files.
        since: the number of the first transaction to undo.
        counts: whether to count the rows that others could see.

    Raises:
        MoreThanRowsError: it could not be done.
        StatementError: the server refused, or somebody holds a lock.
    """
    if len(relations) < len(touched):
        raise MoreThanRowsError("catalogs were written to, or tables are gone")
    sequences = [each for each in relations if each.kind == "S"]
    if any(each.oid not in stood for each in sequences):
        raise MoreThanRowsError("a sequence was written to that cannot be set back")
    settings = [stood[each.oid].setting for each in sequences]
    tables = [each for each in relations if each.kind in "rmt"]
    question = _question(tables, touched, since, counts=counts)
    attempts = [_attempt(session, tables, settings, question)]
    if chained := attempts[0]["chained"]:
        for name in chained:
            session.run(f"VACUUM (TRUNCATE false, INDEX_CLEANUP false) {name}")
        attempts.append(_attempt(session, tables, settings, question))
        if attempts[1]["chained"]:
            raise MoreThanRowsError(f"tables could not be tidied: {', '.join(chained)}")
    return Undone(
        transactions=[each["transaction"] for each in attempts],
        files=[each.file for each in sequences],
        removed={oid: removed for oid, removed, _, _ in attempts[-1]["changed"]},
        rows={oid: (new, old) for oid, _, new, old in attempts[-1]["changed"]},
    )


def _question(tables: Iterable[Relation], touched: Blocks, since: int, *, counts: bool) -> str:
    """Return the query that undoes what was done to tables, unless they have to be tidied first."""
    pairs = [
        (table.oid, block)
        for table in tables
        for block in touched[table.file]
        if block < table.pages
    ]
    numbers = {"since": since % EPOCH, "since_full": since}
    return _UNDO.format(
        oids=array([oid for oid, _ in pairs]),
        blocks=array([block for _, block in pairs]),
        since=since % EPOCH,
        appeared=_APPEARED.format(**numbers) if counts else "false",
        vanished=_VANISHED.format(**numbers) if counts else "false",
    )


def _attempt(
    session: PostgresSession,
    tables: Iterable[Relation],
    settings: Iterable[str],
    question: str,
) -> Any:
    """Undo, unless tables have to be tidied first.

    What the pages hold and where sequences stand is no part of the transaction.
    """
    outcome = session.ask(
        "BEGIN",
        f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
        *(
            f"LOCK TABLE ONLY {table.name} IN EXCLUSIVE MODE"
            for table in tables
            if table.kind == "r"
        ),
        "SELECT txid_current()",
        *_TOOLS,
        *settings,
        question,
    )
    session.run("ROLLBACK")
    return outcome
