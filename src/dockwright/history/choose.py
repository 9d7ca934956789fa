"""Which recorded runs a name stands for: a run, a revision, a branch, or `last`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dockwright._text import listed
from dockwright.errors import UsageError
from dockwright.recording import StoredRun

LAST = "last"
MOST_RUNS = 3
"""How many of the newest runs stand for a branch or a revision."""

_SHORTEST_REVISION = 4
_MAIN = ("main", "master")


def runs_named(
    known: Sequence[StoredRun], name: str, *, besides: Collection[str] = ()
) -> list[StoredRun]:
    """Return the runs that a name stands for, newest first.

    Args:
        known: all runs, newest first.
        name: ``last``, a branch, a run's id or revision, or a prefix of one of these two.
        besides: ids of runs that are not meant.

    Raises:
        UsageError: the name stands for nothing, or for several runs.
    """
    others = [run for run in known if run.id not in besides]
    if name == LAST:
        found = others[:1]
    else:
        found = (
            [run for run in others if run.branch == name][:MOST_RUNS]
            or _by_id(others, name)
            or _by_revision(others, name)[:MOST_RUNS]
        )
    if not found:
        raise UsageError(_nothing(known, name, besides), hint=_hint(known))
    return found


def _by_id(known: Sequence[StoredRun], name: str) -> list[StoredRun]:
    found = [run for run in known if run.id.startswith(name)]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} runs have names that start with {name!r}", hint=_hint(known)
        )
    return found


def _by_revision(known: Sequence[StoredRun], name: str) -> list[StoredRun]:
    if len(name) < _SHORTEST_REVISION:
        return []
    return [run for run in known if run.revision.startswith(name)]


def _nothing(known: Sequence[StoredRun], name: str, besides: Collection[str]) -> str:
    if not known:
        return "no run of this project is recorded"
    if besides:
        return f"no other recorded run has the branch, the revision or the name {name!r}"
    return f"no recorded run has the branch, the revision or the name {name!r}"


def _hint(known: Sequence[StoredRun]) -> str:
    branches = sorted({run.branch for run in known if run.branch})
    have = f"; recorded branches: {listed(branches[:10])}" if branches else ""
    return f"`dockwright runs ls` lists the runs{have}"


def main_branch(known: Sequence[StoredRun]) -> str:
    """Return the recorded branch that the others are compared with; empty: there is none."""
    branches = {run.branch for run in known}
    return next((name for name in _MAIN if name in branches), "")


def alike(known: Sequence[StoredRun], run: StoredRun) -> list[StoredRun]:
    """Return the runs whose times are comparable with a run's: those of the same machine."""
    return [each for each in known if each.machine == run.machine]
