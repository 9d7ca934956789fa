"""Brings a cluster back where a test changed nothing but rows of small tables, and sequences."""

from __future__ import annotations

import logging
from dataclasses import replace

from dockwright.errors import StackError
from dockwright.reset.postgres.baseline import Baseline, Kept
from dockwright.reset.postgres.contents import MoreThanRowsError, Restored
from dockwright.reset.postgres.session import ConnectionLostError, DriverSession, Session
from dockwright.reset.postgres.survey import Glance, Survey
from dockwright.reset.postgres.visits import Visits
from dockwright.reset.postgres.wal import Touched, WriteAheadLog

log = logging.getLogger(__name__)


class RowRestoration:
    """The way back without a new copy of any database.

    Args:
        visits: sessions in the databases.
        session: in our own database.
        baseline: what the cluster was.
        wal: tells what was written to since it was clean.
    """

    def __init__(
        self, visits: Visits, session: Session, baseline: Baseline, wal: WriteAheadLog
    ) -> None:
        self._visits = visits
        self._session = session
        self._baseline = baseline
        self._wal = wal

    def run(self, glance: Glance, *, last: Glance, likely: set[str]) -> Glance | None:
        """Try it.

        Args:
            glance: what the cluster looked like a moment ago.
            last: what it looked like when it was last clean.
            likely: the databases that will probably have to be entered; replaced by those that
                were.

        Returns:
            What the cluster looks like as long as nobody writes to it; None where more was changed
            than rows, or may have been: everything has to be brought back then.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if glance.locks or replace(glance, next_transaction=last.next_transaction) != last:
            return None
        with self._visits:
            self._visits.expect(likely)
            for name in likely:
                self._baseline.kept[name].activity = None  # our own sessions count
            try:
                return self._bring_back(likely, last)
            except ConnectionLostError:
                raise
            except StackError as failure:  # more than rows, a lock, a log that is gone already
                log.debug("reset.postgres.rows %s", failure)
                self._visits.end()
                return None

    def _bring_back(self, likely: set[str], last: Glance) -> Glance:
        touched = self._wal.touched(self._session)
        restored: dict[int, Restored] = {}
        dirty = self._dirty(touched)
        for name, files in dirty.items():
            kept = self._baseline.kept[name]
            restored[kept.oid] = self._restore(self._visits.to(name), kept, files)
        likely.clear()
        likely.update(dirty)
        if restored:
            touched = self._checked(touched, restored)
        self._wal.start_at(touched.end)
        return replace(last, next_transaction=touched.next_transaction)

    def _checked(self, before: Touched, restored: dict[int, Restored]) -> Touched:
        """Return what was written meanwhile: nothing but the rows that were brought back.

        A check or an index may call functions that write elsewhere, and others may have written.
        """
        self._wal.start_at(before.end)
        after = self._wal.touched(self._session, [each.transaction for each in restored.values()])
        side_effects = [
            database
            for database, files in after.ours.items()
            if database not in restored or files - restored[database].files
        ]
        if after.relations or after.unknown or side_effects:
            raise MoreThanRowsError(f"meanwhile, this was written: {after}")
        return after

    def _dirty(self, touched: Touched) -> dict[str, set[int]]:
        """Return the files that were written to, by database."""
        if touched.unknown:
            raise MoreThanRowsError(f"the log has {', '.join(touched.unknown)}")
        names = {kept.oid: name for name, kept in self._baseline.kept.items()}
        if others := touched.relations.keys() - names.keys():
            baseline = self._baseline
            now = Survey.take(self._session, version=baseline.version, names=baseline.names)
            known = {0, *(each.oid for each in now.databases.values() if each.ours)}
            if not others <= known or not self._is_same_outside(now):
                raise MoreThanRowsError("what all databases share was changed")
        return {names[oid]: files for oid, files in touched.relations.items() if oid in names}

    def _is_same_outside(self, now: Survey) -> bool:
        """Tell whether all that the databases share is as it was."""
        then = self._baseline.survey
        found = {name: each for name, each in now.databases.items() if not each.ours}
        wanted = {name: each for name, each in then.databases.items() if not each.ours}
        return (
            replace(now, databases={}) == replace(then, databases={})
            and found.keys() == wanted.keys()
            and all(
                (found[name].oid, found[name].look) == (self._oid_of(name), each.look)
                and (each.open or found[name].row == each.row)
                for name, each in wanted.items()
            )
            and all(kept.has_template(now) for kept in self._baseline.kept.values())
        )

    def _oid_of(self, name: str) -> int:
        kept = self._baseline.kept.get(name)
        return self._baseline.survey.databases[name].oid if kept is None else kept.oid

    @staticmethod
    def _restore(session: Session, kept: Kept, files: set[int]) -> Restored:
        kept.activity = None
        if kept.contents is None or not isinstance(session, DriverSession):
            raise MoreThanRowsError("the rows of the database are not known")
        return kept.contents.restore(session, files)
