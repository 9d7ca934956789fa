"""What happened to a cluster since its baseline: the log says where, and old rows are still there.

PostgreSQL never overwrites a row: it writes a new version, and removes the old one once nobody can
see it any more. A replication slot makes it believe that somebody still can, and keeps the
write-ahead log that says which pages were written to.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from dockwright.errors import StackError
from dockwright.reset.postgres.session import (
    Access,
    PostgresSession,
    StatementError,
    array,
    quoted,
    send_as_replica,
)
from dockwright.reset.postgres.survey import PREFIX
from dockwright.reset.session import ConnectionLostError

_OLDEST = 150000
"""`pg_walinspect` came with this version; the official images have it."""

_MOST_LOG_BYTES = 64 << 20
"""The slot lets go of the log, and of old rows, once there is more of it than this."""

EPOCH = 1 << 32
"""Rows and the log have the lower half of a transaction's number."""

_DROP_SLOT = f"""
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{PREFIX}'
"""

_NEXT = "SELECT to_jsonb(txid_snapshot_xmin(txid_current_snapshot()))::text"

# The end of a transaction that has logged something is written out, and with it all that came
# before: also what was rolled back, or committed without waiting for that.
_WRITE_OUT = """
SELECT set_config('dockwright.position', jsonb_build_array(
  -- Our own number is the next one, unless others are about to write.
  CASE WHEN txid_snapshot_xmin(now) = txid_snapshot_xmax(now) THEN txid_snapshot_xmax(now) + 1
    ELSE 0 END,
  pg_logical_emit_message(true, '', ''))::text, false)
FROM txid_current_snapshot() now
"""

# What our own transactions write is rolled back, except for sequences, and for the numbers in
# `pg_class` that our own VACUUM leaves.
_TOUCHED = rf"""
WITH position AS MATERIALIZED (
  SELECT current_setting('dockwright.position')::jsonb AS position
), records AS MATERIALIZED (
  SELECT DISTINCT CASE resource_manager
      WHEN 'Storage' THEN regexp_replace(description, '^base/(\d+)/(\d+).*', 'rel 0/\1/\2 ')
      WHEN 'RelMap' THEN regexp_replace(description, '^database (\d+).*', 'rel 0/\1/0 ')
      ELSE coalesce(block_ref, '') END AS place,
    resource_manager AS manager, record_type AS type, xid::text::bigint = ANY(%(ours)s) AS ours
  FROM position, pg_get_wal_records_info(%(start)s, (position->>1)::pg_lsn)
  -- Whoever reads a page may tidy it: that leaves its rows as they are. And what a decoder of
  -- the log is told of a change to a catalog stands beside that change.
  WHERE record_type !~ '^(PRUNE|VACUUM|VISIBLE|FREEZE|FPI_FOR_HINT|NEW_CID)'
    AND NOT (record_type = 'INPLACE' AND xid::text = '0' AND %(ours)s::bigint[] <> '{{}}')
), touched AS (
  SELECT found[1]::bigint AS database, found[2]::bigint AS file, ours,
    array_agg(DISTINCT found[4]::bigint)
      FILTER (WHERE found[4] IS NOT NULL AND coalesce(found[3], 'main') = 'main') AS blocks
  FROM records, regexp_matches(
    place, 'rel \d+/(\d+)/(\d+)(?: fork (\w+))?(?: blk (\d+))?', 'g') AS found
  WHERE NOT ours OR manager = 'Sequence'
  GROUP BY 1, 2, 3
)
SELECT jsonb_build_object(
  'next_transaction', position->0,
  'end', position->1,
  'relations', (SELECT coalesce(jsonb_agg(jsonb_build_array(database, file, ours,
    coalesce(to_jsonb(blocks), '[]'))), '[]') FROM touched),
  'others', (SELECT coalesce(jsonb_agg(DISTINCT manager || ' ' || type), '[]')
    FROM records WHERE place NOT LIKE '%%rel %%'),
  'slot', (SELECT jsonb_build_array(xmin::text::bigint,
      pg_wal_lsn_diff((position->>1)::pg_lsn, restart_lsn)::bigint)
    FROM pg_replication_slots WHERE slot_name = '{PREFIX}' AND wal_status <> 'lost')
)::text FROM position
"""

_HARMLESS = {
    "CLOG",
    "CommitTs",
    "Database",
    "LogicalMessage",
    "MultiXact",
    "Standby",
    "Transaction",
    "XLOG",
}
"""Records of these resource managers that name no relation change no table's content. What makes
and drops databases changes `pg_database`, which is looked at on its own."""

Blocks = Mapping[int, Collection[int]]
"""Blocks that were written to, by the number of their file."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What was written to.

    Attributes:
        databases: the blocks by the OID of their database; 0 is for the shared catalogs.
        ours: the files of sequences that our own transactions wrote to, by their database.
        unknown: kinds of log records of which nobody knows what they mean for a table.
        end: up to where the log was read.
        next_transaction: the number of the first transaction that is surely missing here; 0: others
            were writing, so that nobody knows.
    """

    databases: Mapping[int, Blocks]
    ours: Mapping[int, Blocks]
    unknown: Collection[str]
    end: str
    next_transaction: int


class History:
    """Reads the log of a cluster from a remembered position on, and keeps old rows.

    Args:
        access: how to connect.
        session: in a database of our own, where an extension does not matter.

    Attributes:
        is_kept: whether all old rows from the remembered position on are still there, and the log.
        is_long: whether more is kept than is worth it.
    """

    def __init__(self, access: Access, session: PostgresSession) -> None:
        self.is_kept = False
        self.is_long = False
        self._access = access
        self._start = ""
        self._kept_from = 0
        session.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        session.run("LOAD '$libdir/pageinspect'", "LOAD '$libdir/pg_surgery'")
        self.keep(session)

    @staticmethod
    def of(access: Access, session: PostgresSession, version: int) -> History | None:
        """Return the history, or None if the server cannot provide or keep it."""
        if version < _OLDEST:
            return None
        try:
            return History(access, session)
        except ConnectionLostError:
            raise
        except StackError:  # an image without the extensions, no replication, no driver
            with suppress(StatementError):
                session.run(_DROP_SLOT)
            return None

    def start_at(self, position: str) -> None:
        """Remember a position: what was written from there on counts."""
        self._start = position

    def keep(self, session: PostgresSession) -> None:
        """Keep all rows that are deleted from now on, and the log.

        Raises:
            StackError: the server cannot do that.
        """
        session.run(_DROP_SLOT, f"SELECT pg_create_physical_replication_slot('{PREFIX}', true)")
        self._keep_from(session.ask(_NEXT), session)
        self.is_kept = True

    def forget(self, session: PostgresSession) -> None:
        """Keep nothing any more."""
        session.run(_DROP_SLOT)
        self.is_kept = False

    def shorten(self, session: PostgresSession, transaction: int) -> None:
        """Let go of what was there before a transaction, and of the log before the position."""
        self._keep_from(transaction, session)
        session.run(f"SELECT pg_replication_slot_advance('{PREFIX}', {quoted(self._start)})")

    def _keep_from(self, transaction: int, session: PostgresSession) -> None:
        # What a replica sends to say which rows it still needs.
        feedback = struct.pack("!cqIIII", b"h", 0, transaction % EPOCH, transaction // EPOCH, 0, 0)
        position = session.ask("SELECT to_jsonb(pg_current_wal_flush_lsn())::text")
        send_as_replica(self._access, PREFIX, slot=PREFIX, position=position, message=feedback)
        self._kept_from = transaction % EPOCH
        self.is_long = False

    def touched(self, session: PostgresSession, ours: Collection[int] = ()) -> Touched:
        """Return what was written to since the remembered position.

        Args:
            session: in a database of our own.
            ours: the numbers of our own transactions.

        Raises:
            StatementError: the log from then is not there any more.
        """
        numbers = array([number % EPOCH for number in ours])
        answer = session.ask(
            "BEGIN",
            _WRITE_OUT,
            "COMMIT",
            _TOUCHED % {"start": quoted(self._start), "ours": numbers},
        )
        kept_from, log_bytes = answer["slot"] or (None, 0)
        self.is_kept = self.is_kept and kept_from == self._kept_from
        self.is_long = log_bytes > _MOST_LOG_BYTES
        relations: dict[bool, dict[int, dict[int, list[int]]]] = {False: {}, True: {}}
        for database, file, is_own, blocks in answer["relations"]:
            relations[is_own].setdefault(database, {})[file] = blocks
        unknown = {
            each
            for each in answer["others"]
            if each.partition(" ")[0] not in _HARMLESS or each == "Transaction PREPARE"
        }
        return Touched(
            relations[False],
            relations[True],
            unknown,
            end=answer["end"],
            next_transaction=answer["next_transaction"],
        )
