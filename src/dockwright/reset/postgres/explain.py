"""What a test did to a cluster beyond rows that can be undone, for people: names and numbers.

Only asked for where a shared stack is checked: it takes some milliseconds more than the reset
itself has to know. What only looks like a change (a database that was entered, statistics that
vacuum wrote) is not among it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dockwright.errors import StackError
from dockwright.model import Trace
from dockwright.reset.postgres.baseline import Baseline, DatabaseSnapshot
from dockwright.reset.postgres.cluster import Cluster
from dockwright.reset.postgres.history import Blocks
from dockwright.reset.postgres.restore import Restoration
from dockwright.reset.postgres.survey import (
    ALTERED_SETTINGS,
    OBJECTS,
    PREFIX,
    SHARED,
    FullState,
    QuickState,
)
from dockwright.reset.postgres.undo import Relation

_LASTING_S = 0.02
"""A connection that is being closed still counts for a moment."""

_MOST_NAMED = 10
_MOST_TRANSACTIONS = 10_000

_COMMITTED = """
SELECT to_jsonb(count(*))::text FROM generate_series(%d::bigint, %d::bigint) number
WHERE txid_status(number) IS DISTINCT FROM 'aborted'
"""

_WORDS = {
    "pg_auth_members": "memberships of roles",
    "pg_db_role_setting": "settings of roles",
    "pg_shdescription": "comments",
    "pg_shseclabel": "security labels",
    "pg_parameter_acl": "privileges on settings",
    "pg_replication_origin": "replication origins",
}

# Sessions that keep a transaction open, hold an advisory lock, or have a statement that still runs.
_OPEN = f"""
SELECT coalesce(jsonb_agg(jsonb_build_array(pid, coalesce(xact_start, backend_start)::text,
  CASE WHEN state LIKE 'idle in transaction%' THEN 'transaction'
    WHEN state = 'active' THEN 'statement' ELSE 'lock' END,
    left(regexp_replace(query, '\\s+', ' ', 'g'), 60))), '[]')::text
FROM pg_stat_activity a WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND datname IS DISTINCT FROM '{PREFIX}' AND (state LIKE 'idle in transaction%'
    OR state = 'active' OR state = 'idle'
    AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND locktype = 'advisory'))
"""

_ROLES = """
SELECT coalesce(jsonb_object_agg(name, how), '{}')::text FROM (
  SELECT coalesce(n.rolname, t.rolname) AS name, CASE WHEN t.rolname IS NULL THEN 'added'
    WHEN n.rolname IS NULL THEN 'deleted' ELSE 'changed' END AS how
  FROM pg_authid n FULL JOIN public.saved_pg_authid t ON n.oid = t.oid
  WHERE n::text IS DISTINCT FROM t::text) found
"""


def explain(
    cluster: Cluster,
    baseline: Baseline,
    restoration: Restoration,
    quick_state: QuickState,
    touched: Mapping[int, Blocks],
) -> list[Trace]:
    """Return what a test did to a cluster that is about to be restored.

    Args:
        cluster: the dirty cluster.
        baseline: what it was.
        restoration: what will bring it back.
        quick_state: what it looked like a moment ago.
        touched: the blocks that were written to, by the OID of their database, where that is known.
    """
    traces = [
        *(_open_sessions(cluster) if quick_state.locks else ()),
        *_shared(cluster, baseline, restoration.survey),
        *_outside(cluster, baseline, restoration.survey, quick_state),
    ]
    for name, kept in restoration.changed.items():
        if restoration.survey.databases.get(name) is not None:
            traces += _inside(cluster, name, kept, touched.get(kept.oid, {}))
    return traces


def committed(cluster: Cluster, clean: QuickState, quick_state: QuickState) -> bool:
    """Return whether any transaction that wrote something since then was not rolled back.

    Args:
        cluster: the cluster.
        clean: what it looked like when it was last clean.
        quick_state: what it looked like a moment ago.
    """
    first, end = clean.next_transaction, quick_state.next_transaction
    if end - first > _MOST_TRANSACTIONS:
        return True
    return bool(cluster.session.ask(_COMMITTED % (first, end - 1)))


def _open_sessions(cluster: Cluster) -> Iterator[Trace]:
    """Return the sessions that were left in a transaction, with a lock, or at work.

    Those at work may be an application's own.
    """
    found = cluster.session.ask(_OPEN)
    if not found:
        return
    before = {(pid, since) for pid, since, _, _ in found}
    time.sleep(_LASTING_S)
    for pid, since, kind, query in cluster.session.ask(_OPEN):
        if (pid, since) in before:
            how = "still runs" if kind == "statement" else "left open"
            yield Trace(kind, "", f"{how}: {query}", certain=kind != "statement")


def _shared(cluster: Cluster, baseline: Baseline, now: FullState) -> Iterator[Trace]:
    """Return what was changed that all databases share."""
    changed = {name for name in SHARED if now.catalogs.get(name) != _then(baseline, name)}
    if "pg_authid" in changed:
        for name, how in sorted(cluster.session.ask(_ROLES).items()):
            yield Trace("role", name, how)
    for name in sorted(changed & _WORDS.keys()):
        yield Trace(_WORDS[name], "", "changed")


def _then(baseline: Baseline, name: str) -> str | None:
    return baseline.survey.catalogs.get(name)


def _outside(
    cluster: Cluster, baseline: Baseline, now: FullState, quick_state: QuickState
) -> Iterator[Trace]:
    """Return what was changed about the server and its databases, not inside of them."""
    was = baseline.quick_state
    if quick_state.altered != was.altered:
        yield from _settings(cluster, baseline)
    if quick_state.files != was.files:
        yield Trace("configuration files", "", "changed")
    yield from _compared("replication slot", was.slots, quick_state.slots)
    yield from _compared("replication origin", was.origins, quick_state.origins)
    for name, database in now.prepared:
        yield Trace("prepared transaction", name, f"in database {database}")
    if now.subscriptions:
        yield Trace("subscription", "", "added")
    if now.tablespaces != baseline.survey.tablespaces:
        yield Trace("tablespaces", "", "changed")
    looks = {each.name: each.look for each in now.databases.values() if not each.ours}
    known = {each.name: each.look for each in baseline.survey.databases.values() if not each.ours}
    yield from _compared("database", known, looks)


def _settings(cluster: Cluster, baseline: Baseline) -> Iterator[Trace]:
    then, now = dict(baseline.altered), dict(cluster.session.ask(ALTERED_SETTINGS))
    yield from _compared("setting", then, now)


def _compared(kind: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Trace]:
    """Return which of these were added, changed or deleted."""
    how = {name: "added" for name in now if name not in then}
    how |= {name: "changed" for name in now if name in then and now[name] != then[name]}
    how |= {name: "deleted" for name in then if name not in now}
    return [Trace(kind, name, how[name]) for name in sorted(how)]


def _few(traces: list[Trace]) -> list[Trace]:
    rest = len(traces) - _MOST_NAMED
    return (
        traces if rest <= 0 else [*traces[:_MOST_NAMED], Trace("definitions", "", f"{rest} more")]
    )


def _inside(
    cluster: Cluster, name: str, kept: DatabaseSnapshot, blocks: Blocks
) -> Collection[Trace]:
    """Return which definitions were changed in a database, and which tables were written to."""
    try:
        session = cluster.access.connect(name)
    except StackError:  # it lets nobody in, which `_outside` says
        return []
    try:
        objects = session.ask(OBJECTS)
        written = session.ask(Relation.question(blocks.keys())) if blocks else []
    finally:
        session.close()
    definitions = [
        Trace(kind, f"{name}.{rest}", trace.detail)
        for trace in _compared("", kept.objects, objects)
        for kind, _, rest in [trace.name.partition(" ")]
    ]
    definitions = [each for each in definitions if each.kind != "catalog"] or definitions
    known = {each.name for each in definitions}
    tables = [
        Trace(
            "sequence" if each["kind"] == "S" else "table", f"{name}.{each['name']}", "rows changed"
        )
        for each in written
        if each["kind"] in "rS" and f"{name}.{each['name']}" not in known
    ]
    return [*_few(_grouped(definitions)), *tables]


def _grouped(definitions: list[Trace]) -> list[Trace]:
    """Leave out the parts of a table that came, went or changed with it: indexes, ..."""
    tables = {each.name: each.detail for each in definitions if each.kind == "table"}

    def is_part(trace: Trace) -> bool:
        if trace.kind not in _PARTS:
            return False
        changed = (trace.kind, trace.detail) == ("index", "changed")
        return any(
            (how != "changed" and trace.name.startswith(f"{table}_"))
            or ((how != "changed" or changed) and trace.name.endswith(f" of {_inner(table)}"))
            for table, how in tables.items()
        )

    return [each for each in definitions if not is_part(each)]


def _inner(name: str) -> str:
    """Return a name without its database."""
    return name.partition(".")[2]


_PARTS = ("index", "constraint", "sequence", "trigger", "policy")
