"""Brings a dirty cluster back to its baseline."""

from __future__ import annotations

from dataclasses import replace

from dockwright.errors import StackBrokenError
from dockwright.reset.postgres import survey
from dockwright.reset.postgres.baseline import Baseline, DatabaseSnapshot, make_spare
from dockwright.reset.postgres.cluster import (
    POSITION,
    Cluster,
    spare_name,
    trash_name,
)
from dockwright.reset.postgres.session import identifier
from dockwright.reset.postgres.survey import PREFIX, SETTINGS, Database, FullState, QuickState


class Restoration:
    """One way back.

    Args:
        cluster: the dirty cluster.
        baseline: what it was; it learns where its databases are afterwards.
        quick_state: what it looked like a moment ago.
        last: what the cluster looked like when it was last clean.

    Attributes:
        changed: the databases that have to come back, by name.
        position: where the write-ahead log stood when they were back.
        reloaded: whether the server read its configuration files.
    """

    def __init__(
        self, cluster: Cluster, baseline: Baseline, quick_state: QuickState, last: QuickState
    ) -> None:
        self._cluster = cluster
        self._session = cluster.session
        self._baseline = baseline
        self._quick_state = quick_state
        # What a server counts is sure only as long as it runs.
        self._restarted = quick_state.server != last.server
        self._loaded = quick_state.loaded != last.loaded  # also by a restart
        self.reloaded = False
        self._crashed = quick_state.statistics != last.statistics
        self.survey = FullState.take(
            cluster.session, version=baseline.version, names=baseline.names
        )
        self.position = ""
        self.changed: dict[str, DatabaseSnapshot] = {
            name: kept
            for name, kept in baseline.kept.items()
            if self._restarted or not kept.is_clean(self.survey.databases.get(name))
        }

    def run(self) -> QuickState:
        """Do it.

        Returns:
            What the cluster looks like as long as nobody writes to it.

        Raises:
            StackBrokenError: something was changed that cannot be undone.
            StackError: the server refused, or is gone.
        """
        self._check()
        databases, slots, origins = (
            self.survey.databases,
            self._quick_state.slots,
            self._quick_state.origins,
        )
        dirty = [each for each in databases.values() if self._is_dirty(each)]
        self._cluster.roll_back_prepared(self.survey.prepared)
        for kept in self.changed.values():
            if not kept.has_spare(self.survey):
                self._drop_spare(kept)
                make_spare(self._cluster, kept)
        self._cluster.shut([each.oid for each in dirty])
        self._cluster.drop_slots(slots.keys() - self._baseline.quick_state.slots.keys())
        self._cluster.drop_origins(origins.keys() - self._baseline.quick_state.origins.keys())
        next_transaction = self._swap(dirty)
        if origins != self._baseline.quick_state.origins:
            self._cluster.advance_origins(self._baseline.quick_state.origins)
        self._restore_settings()
        return replace(
            self._baseline.quick_state,
            next_transaction=next_transaction,
            server=self._quick_state.server,
            statistics=self._quick_state.statistics,
            loaded=self._quick_state.loaded,
        )

    def _drop_spare(self, kept: DatabaseSnapshot) -> None:
        """Drop a spare that somebody entered, if there is one."""
        if spare := self.survey.databases.get(spare_name(kept.original)):
            self._cluster.shut([spare.oid])
            self._session.run(f"DROP DATABASE {spare.name}")

    def _is_dirty(self, database: Database) -> bool:
        if database.ours:
            return False
        if database.name in self._baseline.kept:
            return database.name in self.changed
        return database.name not in self._baseline.survey.databases

    def _check(self) -> None:
        now, then = self.survey, self._baseline.survey
        if self._restarted and self._crashed and self._baseline.has_unlogged:
            raise StackBrokenError("it crashed, which emptied its unlogged tables")
        if self._quick_state.files != self._baseline.quick_state.files:
            raise StackBrokenError(
                "its configuration files, or what lies beside them, were changed"
            )
        if missing := self._baseline.quick_state.slots.keys() - self._quick_state.slots.keys():
            raise StackBrokenError(f"replication slots are missing: {', '.join(missing)}")
        if now.subscriptions:
            raise StackBrokenError("a subscription was made")
        if now.tablespaces != then.tablespaces:
            raise StackBrokenError("its tablespaces were changed")
        for name, database in then.databases.items():
            if not database.open and not database.ours:
                found = now.databases.get(name)
                if found is None or found.identity != database.identity:
                    raise StackBrokenError(f"database {name}, which let nobody in, was changed")
        if now.own != then.own:
            raise StackBrokenError(f"our own database, {PREFIX}, was changed")
        for name, kept in self._baseline.kept.items():
            if not kept.has_template(now):
                raise StackBrokenError(f"the template of database {name} is gone or was changed")

    def _swap(self, dirty: list[Database]) -> int:
        statements = [
            f"ALTER DATABASE {identifier(each.name)} RENAME TO {trash_name(each.oid)}"
            for each in dirty
        ]
        fresh = self._fresh_oids()
        statements += survey.detach([*fresh.values(), *(each.oid for each in dirty)])
        for name, kept in self.changed.items():
            oid = fresh[kept.original]
            statements += [
                f"ALTER DATABASE {spare_name(kept.original)} RENAME TO {identifier(name)}",
                *survey.adopt(oid, kept.original),
            ]
        for name in self._baseline.names:
            if self.survey.catalogs[name] != self._baseline.survey.catalogs[name]:
                statements.append(survey.put_back(name))
        transaction, self.position = self._session.ask(*statements, POSITION)
        for kept in self.changed.values():
            kept.oid, kept.spare = fresh[kept.original], None
            kept.activity = self._baseline.no_activity
            kept.removed.clear()
        return int(transaction) + 1

    def _fresh_oids(self) -> dict[int, int]:
        found = FullState.oids(self._session)
        return {kept.original: found[spare_name(kept.original)] for kept in self.changed.values()}

    def _restore_settings(self) -> None:
        """Bring back what the files say of settings, and what the server has read of them.

        A setting may also have been altered, loaded, and reset in the file alone.
        """
        altered = self._quick_state.altered != self._baseline.quick_state.altered
        if altered:
            self._cluster.alter_system(self._baseline.altered)
            if QuickState.take(self._session).altered != self._baseline.quick_state.altered:
                raise StackBrokenError("what ALTER SYSTEM did could not be undone")
        if altered or self._loaded:
            self._cluster.reload()
            self.reloaded = True
            if self._session.ask(SETTINGS) != self._baseline.settings:
                raise StackBrokenError("its settings were changed by a restart")
