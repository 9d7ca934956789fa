"""Which relations of a cluster were written to, as its write-ahead log tells it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dockwright.reset.postgres.session import Session, StatementError
from dockwright.reset.postgres.sql import quoted

_OLDEST = 150000
"""`pg_walinspect` came with this version; the official images have it."""

_POSITION = """
SELECT jsonb_build_array(txid_snapshot_xmax(txid_current_snapshot()), pg_current_wal_insert_lsn()
)::text
"""

_TOUCHED = r"""
WITH records AS MATERIALIZED (
  SELECT CASE resource_manager
      WHEN 'Storage' THEN regexp_replace(description, '^base/(\d+)/(\d+).*', 'rel 0/\1/\2 ')
      WHEN 'RelMap' THEN regexp_replace(description, '^database (\d+).*', 'rel 0/\1/0 ')
      ELSE coalesce(block_ref, '') END AS place,
    resource_manager AS manager, record_type AS type
  FROM pg_get_wal_records_info(%(start)s, pg_current_wal_flush_lsn())
  -- Whoever reads a page may tidy it: that leaves its rows as they are. And what a decoder of
  -- the log is told of a change to a catalog stands beside that change.
  WHERE record_type !~ '^(PRUNE|VACUUM|VISIBLE|FREEZE|FPI_FOR_HINT|NEW_CID)')
SELECT jsonb_build_object(
  'relations', (SELECT coalesce(jsonb_agg(DISTINCT
      jsonb_build_array(found[1]::bigint, found[2]::bigint)), '[]')
    FROM records, regexp_matches(place, 'rel \d+/(\d+)/(\d+) ', 'g') AS found),
  'others', (SELECT coalesce(jsonb_agg(DISTINCT manager || ' ' || type), '[]')
    FROM records WHERE place NOT LIKE '%%rel %%')
)::text
"""

_WRITE_OUT = ("SET synchronous_commit TO local", "SELECT pg_logical_emit_message(true, '', '')")
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


@dataclass(frozen=True, slots=True)
class Touched:
    """What was written to.

    Attributes:
        relations: file numbers by the OID of their database; 0 is for the shared catalogs.
        unknown: kinds of log records of which nobody knows what they mean for a table.
    """

    relations: dict[int, set[int]]
    unknown: Collection[str]


class WriteAheadLog:
    """Reads the log of a cluster from a remembered position on.

    Args:
        session: in a database of our own, where an extension does not matter.
    """

    def __init__(self, session: Session) -> None:
        self._start = ""
        session.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        self.mark(session)

    @staticmethod
    def of(session: Session, version: int) -> WriteAheadLog | None:
        """Return the log, or None where the server cannot tell it."""
        if version < _OLDEST:
            return None
        try:
            return WriteAheadLog(session)
        except StatementError:  # an image without the extension
            return None

    def mark(self, session: Session) -> int:
        """Remember the position: what is written from now on counts.

        Returns:
            The number that the next transaction will get.
        """
        transaction, self._start = session.ask(_POSITION)
        return int(transaction)

    def touched(self, session: Session) -> Touched:
        """Return what was written to since the mark.

        Raises:
            StatementError: the log from then is not there any more.
        """
        session.run(*_WRITE_OUT)
        told = session.ask(_TOUCHED % {"start": quoted(self._start)})
        relations: dict[int, set[int]] = {}
        for database, file in told["relations"]:
            relations.setdefault(database, set()).add(file)
        unknown = {
            each
            for each in told["others"]
            if each.partition(" ")[0] not in _HARMLESS or each == "Transaction PREPARE"
        }
        return Touched(relations, unknown)
