"""Brings a cluster back where a test changed nothing but rows of small tables, and sequences."""

from __future__ import annotations

import logging
from dataclasses import replace

from dockwright.errors import StackError
from dockwright.reset.postgres.baseline import Baseline, Kept
from dockwright.reset.postgres.cluster import Cluster
from dockwright.reset.postgres.session import ConnectionLostError, DriverSession
from dockwright.reset.postgres.survey import Glance, Survey
from dockwright.reset.postgres.wal import WriteAheadLog

log = logging.getLogger(__name__)


class RowRestoration:
    """One try to go back without a new copy of any database.

    Args:
        cluster: the dirty cluster.
        baseline: what it was.
        wal: tells what was written to since it was clean.
    """

    def __init__(self, cluster: Cluster, baseline: Baseline, wal: WriteAheadLog) -> None:
        self._cluster = cluster
        self._session = cluster.session
        self._baseline = baseline
        self._wal = wal

    def run(self, glance: Glance, *, last: Glance) -> Glance | None:
        """Do it.

        Args:
            glance: what the cluster looked like a moment ago.
            last: what it looked like when it was last clean.

        Returns:
            What the cluster looks like as long as nobody writes to it; None where more was changed
            than rows, or may have been: everything has to be brought back then.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if replace(glance, next_transaction=last.next_transaction, locks=last.locks) != last:
            return None
        baseline = self._baseline
        now = Survey.take(self._session, version=baseline.version, names=baseline.names)
        if glance.locks or not self._is_same_outside(now):
            return None
        try:
            if not self._restore({each.oid for each in now.databases.values() if each.ours}):
                return None
        except ConnectionLostError:
            raise
        except StackError as failure:  # somebody holds a lock; the log is gone already
            log.debug("reset.postgres.rows %s", failure)
            return None
        return replace(last, next_transaction=self._wal.mark(self._session))

    def _is_same_outside(self, now: Survey) -> bool:
        """Tell whether all that the databases share is as it was."""
        then = self._baseline.survey
        found = {name: each for name, each in now.databases.items() if not each.ours}
        wanted = {name: each for name, each in then.databases.items() if not each.ours}
        return (
            (now.catalogs, now.prepared, now.subscriptions, now.tablespaces)
            == (then.catalogs, then.prepared, then.subscriptions, then.tablespaces)
            and found.keys() == wanted.keys()
            and all(
                (found[name].oid, found[name].look) == (self._oid_of(name), each.look)
                for name, each in wanted.items()
            )
            and all(kept.has_template(now) for kept in self._baseline.kept.values())
        )

    def _oid_of(self, name: str) -> int:
        kept = self._baseline.kept.get(name)
        return self._baseline.survey.databases[name].oid if kept is None else kept.oid

    def _restore(self, own: set[int]) -> bool:
        touched = self._wal.touched(self._session)
        if touched.unknown:
            return False
        names = {kept.oid: name for name, kept in self._baseline.kept.items()}
        own = {0, *own}  # what the databases share was looked at
        dirty = {oid: files for oid, files in touched.relations.items() if oid not in own}
        return dirty.keys() <= names.keys() and all(
            self._restore_database(names[oid], self._baseline.kept[names[oid]], files)
            for oid, files in dirty.items()
        )

    def _restore_database(self, name: str, kept: Kept, files: set[int]) -> bool:
        if kept.contents is None:
            return False
        session = self._cluster.access.connect(name)
        try:
            kept.activity = None  # our own session counts
            return isinstance(session, DriverSession) and kept.contents.restore(session, files)
        finally:
            session.close()
