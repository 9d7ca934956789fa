"""Which relations of a cluster were written to, as its write-ahead log tells it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dockwright.reset.postgres.session import Session, StatementError
from dockwright.reset.postgres.sql import array, quoted

_OLDEST = 150000
"""`pg_walinspect` came with this version; the official images have it."""

POSITION = """
SELECT jsonb_build_array(txid_current(), pg_current_wal_insert_lsn())::text
"""
"""In a transaction that writes: its number, and where the log ends before its own end."""

_TOUCHED = r"""
WITH records AS MATERIALIZED (
  SELECT CASE resource_manager
      WHEN 'Storage' THEN regexp_replace(description, '^base/(\d+)/(\d+).*', 'rel 0/\1/\2 ')
      WHEN 'RelMap' THEN regexp_replace(description, '^database (\d+).*', 'rel 0/\1/0 ')
      ELSE coalesce(block_ref, '') END AS place,
    resource_manager AS manager, record_type AS type, xid::text::bigint AS transaction
  FROM pg_get_wal_records_info(%(start)s, %(end)s)
  -- Whoever reads a page may tidy it: that leaves its rows as they are. And what a decoder of
  -- the log is told of a change to a catalog stands beside that change.
  WHERE record_type !~ '^(PRUNE|VACUUM|VISIBLE|FREEZE|FPI_FOR_HINT|NEW_CID)')
SELECT jsonb_build_object(
  'relations', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_array(
      found[1]::bigint, found[2]::bigint, transaction = ANY(%(ours)s))), '[]')
    FROM records, regexp_matches(place, 'rel \d+/(\d+)/(\d+) ', 'g') AS found),
  'others', (SELECT coalesce(jsonb_agg(DISTINCT manager || ' ' || type), '[]')
    FROM records WHERE place NOT LIKE '%%rel %%')
)::text
"""

_WRITE_OUT = """
SELECT jsonb_build_array(
  -- Our own number is the next one, unless others are about to write.
  CASE WHEN txid_snapshot_xmin(now) = txid_snapshot_xmax(now) THEN txid_snapshot_xmax(now) + 1
    ELSE 0 END,
  pg_logical_emit_message(true, '', ''))::text
FROM txid_current_snapshot() now
"""
"""The end of a transaction that has logged something is written out, and with it all that came
before: also what was rolled back, or committed without waiting for that."""

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


_EPOCH = 1 << 32  # the log has the lower half of a transaction's number


@dataclass(frozen=True, slots=True)
class Touched:
    """What was written to.

    Attributes:
        relations: file numbers by the OID of their database; 0 is for the shared catalogs.
        ours: those that our own transactions wrote to.
        unknown: kinds of log records of which nobody knows what they mean for a table.
        end: up to where the log was read.
        next_transaction: the number of the first transaction that is surely missing here; 0: others
            were writing, so that nobody knows.
    """

    relations: dict[int, set[int]]
    ours: dict[int, set[int]]
    unknown: Collection[str]
    end: str
    next_transaction: int


class WriteAheadLog:
    """Reads the log of a cluster from a remembered position on.

    Args:
        session: in a database of our own, where an extension does not matter.
    """

    def __init__(self, session: Session) -> None:
        self._start = ""
        session.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect")

    @staticmethod
    def of(session: Session, version: int) -> WriteAheadLog | None:
        """Return the log, or None where the server cannot tell it."""
        if version < _OLDEST:
            return None
        try:
            return WriteAheadLog(session)
        except StatementError:  # an image without the extension
            return None

    def start_at(self, position: str) -> None:
        """Remember a position: what was written from there on counts."""
        self._start = position

    def touched(self, session: Session, ours: Collection[int] = ()) -> Touched:
        """Return what was written to since the remembered position.

        Args:
            session: in a database of our own.
            ours: the numbers of our own transactions.

        Raises:
            StatementError: the log from then is not there any more.
        """
        next_transaction, end = session.ask(_WRITE_OUT)
        numbers = array([number % _EPOCH for number in ours])
        told = session.ask(
            _TOUCHED % {"start": quoted(self._start), "end": quoted(end), "ours": numbers}
        )
        relations: dict[bool, dict[int, set[int]]] = {False: {}, True: {}}
        for database, file, mine in told["relations"]:
            relations[mine].setdefault(database, set()).add(file)
        unknown = {
            each
            for each in told["others"]
            if each.partition(" ")[0] not in _HARMLESS or each == "Transaction PREPARE"
        }
        return Touched(relations[False], relations[True], unknown, end, next_transaction)
