"""What a cluster was when it was captured: taken once, compared with at each reset."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from dockwright.errors import StackError
from dockwright.reset.postgres import survey as catalogs
from dockwright.reset.postgres.cluster import (
    POSITION,
    ClosedDatabase,
    Cluster,
    spare_name,
    template_name,
)
from dockwright.reset.postgres.session import Access, PostgresSession, array, not_a_superuser
from dockwright.reset.postgres.survey import (
    ALTERED_SETTINGS,
    PREFIX,
    SETTINGS,
    SURE_STATISTICS,
    Database,
    FullState,
    Identity,
    QuickState,
)
from dockwright.reset.postgres.undo import Sequence

_OLDEST = 120000
_TWO_WAYS = 150000  # the first version that lets one choose how a database is copied
_SMALL_BYTES = 64 << 20  # to log each page of such a database is sooner done than a checkpoint
_FSYNC = "SELECT to_jsonb(current_setting('fsync'))::text"
_WHO = f"""
SELECT jsonb_build_object('version', current_setting('server_version_num')::int,
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'entered', EXISTS (SELECT FROM pg_database WHERE datname = '{PREFIX}'))::text
"""


@dataclass(slots=True)
class DatabaseSnapshot:
    """One database as it was at the baseline, and where it is now.

    Attributes:
        original: its OID then, under which its rows in the shared catalogs were saved.
        look: owner, privileges, settings, comment.
        template: its template, which nobody may enter, as it was when it was made.
        in_use: whether there were sessions in it: it is likely to need a spare.
        oid: its OID now.
        activity: its counters when it was last clean; None where they are not sure.
        stood: its sequences that can be set back, by their OID.
        by_files: whether its clones are copies of its files: it is large.
        objects: what is defined in it, see `survey.OBJECTS`.
        removed: how many row versions were removed from a table since it was last tidied, by OID.
        spare: its spare, as it was when it was made; None: there is none.
    """

    original: int
    look: str
    template: Identity
    in_use: bool
    oid: int
    activity: list[int] | None
    stood: Mapping[int, Sequence]
    by_files: bool
    objects: Mapping[str, str]
    removed: dict[int, int] = field(default_factory=dict)
    spare: Identity | None = None

    def is_clean(self, now: Database | None) -> bool:
        """Return whether nobody was in the database or changed anything about it, surely."""
        return (
            now is not None
            and (now.oid, now.look, now.sessions) == (self.oid, self.look, 0)
            and self.activity is not None
            and now.activity == self.activity
        )

    def has_template(self, now: FullState) -> bool:
        """Return whether its template is there, and nobody ever entered it."""
        template = now.databases.get(template_name(self.original))
        return template is not None and template.identity == self.template

    def has_spare(self, now: FullState) -> bool:
        """Return whether its spare is there, and nobody ever entered it."""
        spare = now.databases.get(spare_name(self.original))
        return spare is not None and spare.identity == self.spare


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the cluster was.

    Attributes:
        version: of the server, as in ``server_version_num``.
        names: the shared catalogs that it has.
        quick_state: what it looks like as long as nobody writes to it.
        survey: the rest; its `databases` are as they were before anything was done to them.
        settings: a hash of the settings that only the server's files and command line change.
        altered: what ALTER SYSTEM had set: name and value, quoted.
        kept: the databases that were cloned, by name.
        transaction: the number of the last transaction before it.
        position: where the write-ahead log stood.
        leaves_traces: whether every change to a sequence counts as a transaction.
        has_unlogged: whether there are tables that a crash empties.
    """

    version: int
    names: list[str]
    quick_state: QuickState
    survey: FullState
    settings: str
    altered: list[list[str]]
    kept: dict[str, DatabaseSnapshot]
    transaction: int
    position: str
    leaves_traces: bool
    has_unlogged: bool

    @property
    def no_activity(self) -> list[int] | None:
        """The counters of a database that was just made."""
        return [0, 0, 0] if self.version >= SURE_STATISTICS else None


def open_own_database(access: Access) -> tuple[PostgresSession, int]:
    """Make our own database, where nothing else keeps it from being touched, and enter it.

    Returns:
        The session in it, and the server's version.

    Raises:
        StackError: the server is too old, or the user is not a superuser.
    """
    first = access.connect(access.first_database)
    try:
        who = first.ask(_WHO)
        if who["version"] < _OLDEST:
            raise StackError(
                f"PostgreSQL {who['version'] // 10000} is too old to be reset in place; it takes 12"
            )
        if not who["superuser"]:
            raise not_a_superuser(access.user)
        cluster = Cluster(access, first)
        if not access.service.spec.durable:
            cluster.make_disposable()
        if not who["entered"]:
            cluster.clone("template0", PREFIX, by_files=_copies_files(first, who["version"]))
            first.run(f"ALTER DATABASE {PREFIX} ALLOW_CONNECTIONS true")
    finally:
        first.close()
    known = replace(access, major=who["version"] // 10000)  # whose timeouts are then known, too
    return known.connect(PREFIX), who["version"]


def _copies_files(session: PostgresSession, version: int) -> bool:
    """Return whether a database is cloned sooner by its files than by logging each page.

    That makes checkpoints, which cost little without waits for the disk.
    """
    return version >= _TWO_WAYS and session.ask(_FSYNC) == "off"


def capture(access: Access, session: PostgresSession, version: int) -> Baseline:
    """Clone all databases and remember the rest; ends all sessions but those in our own database.

    Args:
        access: how to connect.
        session: in our own database.
        version: of the server.

    Raises:
        StackError: the cluster holds what cannot be cloned.
    """
    cluster = Cluster(access, session)
    cluster.expel_predecessors()
    names = session.ask(catalogs.NAMES)
    session.run(*catalogs.save(names))
    before = FullState.take(session, version=version, names=names)
    _refuse(before, session)
    databases = [each for each in before.databases.values() if each.open and not each.ours]
    try:
        _drop_leftovers(session, before)
        settled = {each.name: cluster.settle(each.oid, each.name) for each in databases}
        by_files = _copies_files(session, version)
        for each in databases:
            cluster.clone(each.name, template_name(each.oid), by_files=by_files)
        after = FullState.take(session, version=version, names=names)
        kept = {
            each.name: _kept(
                each,
                after,
                settled[each.name],
                by_files=by_files and settled[each.name].size > _SMALL_BYTES,
            )
            for each in databases
        }
        session.run(*catalogs.detach([copy.template.oid for copy in kept.values()]))
    finally:
        transaction, position = _reopen(session, [each.oid for each in databases])
    quick_state = replace(QuickState.take(session), next_transaction=transaction + 1, locks=0)
    return Baseline(
        version=version,
        names=names,
        quick_state=quick_state,
        survey=before,
        settings=session.ask(SETTINGS),
        altered=session.ask(ALTERED_SETTINGS),
        kept=kept,
        transaction=transaction,
        position=position,
        leaves_traces=not any(each.sequences for each in settled.values()),
        has_unlogged=any(each.relations for each in settled.values()),
    )


def make_spare(cluster: Cluster, kept: DatabaseSnapshot) -> None:
    """Clone a database's template, to take its place."""
    name = spare_name(kept.original)
    cluster.clone(template_name(kept.original), name, by_files=kept.by_files)
    kept.spare = FullState.identity_of(cluster.session, name)


def _refuse(survey: FullState, session: PostgresSession) -> None:
    logical = session.ask(
        "SELECT to_jsonb(count(*))::text FROM pg_replication_slots WHERE slot_type = 'logical'"
    )
    found = {
        "prepared transactions": len(survey.prepared),
        "subscriptions": survey.subscriptions,
        "logical replication slots": logical,
    }
    if hindrances := [what for what, count in found.items() if count]:
        raise StackError(f"databases with {' and '.join(hindrances)} cannot be cloned")


def _drop_leftovers(session: PostgresSession, survey: FullState) -> None:
    for each in survey.databases.values():
        if each.ours and each.name != PREFIX:
            session.run(f"DROP DATABASE IF EXISTS {each.name}")


def _kept(
    before: Database, after: FullState, settled: ClosedDatabase, *, by_files: bool
) -> DatabaseSnapshot:
    return DatabaseSnapshot(
        original=before.oid,
        look=before.look,
        template=after.databases[template_name(before.oid)].identity,
        in_use=before.sessions > 0,
        oid=before.oid,
        activity=after.databases[before.name].activity,
        stood=settled.stood,
        by_files=by_files,
        objects=settled.objects,
    )


def _reopen(session: PostgresSession, databases: Collection[int]) -> tuple[int, str]:
    transaction, position = session.ask(
        f"""UPDATE pg_database d SET datallowconn = s.datallowconn, datistemplate = s.datistemplate
        FROM public.saved_pg_database s WHERE d.oid = s.oid AND d.oid = ANY({array(databases)})""",
        POSITION,
    )
    return transaction, position
