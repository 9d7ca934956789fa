"""Which recorded runs a name stands for: a run, a revision, a branch, or `last`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from dockwright._text import counted, listed
from dockwright.errors import UsageError
from dockwright.recording import StoredRun

LAST = "last"
"""The name of the newest run; ``last~1`` is the one before it."""

BRANCH_RUNS = 3
"""How many of the newest runs stand for a branch or a revision."""

_SHORTEST_REVISION = 4
_MAIN = ("main", "master")
_SHOWN_REVISION = 10
_GIT_TIMEOUT_S = 5.0


def no_revision(_: str) -> str:
    """Resolve no name: for projects without git."""
    return ""


def revision_by_git(root: Path) -> Callable[[str], str]:
    """Return what finds the commit of a name that git knows, such as ``HEAD~1`` or a tag.

    It returns an empty text for other names, and where git or a work tree is missing.
    """

    def revision_of(name: str) -> str:
        if name.startswith("-"):
            return ""  # git would take it for an option
        try:
            done = subprocess.run(
                ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
                cwd=root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_GIT_TIMEOUT_S,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return ""
        return "" if done.returncode else done.stdout.strip()

    return revision_of


def runs_named(
    known: Sequence[StoredRun],
    name: str,
    *,
    besides: Collection[str] = (),
    revision_of: Callable[[str], str] = no_revision,
) -> list[StoredRun]:
    """Return the runs that a name stands for, newest first.

    Args:
        known: all runs, newest first.
        name: ``last``, ``last~1``, a branch, a run's id or revision, or a prefix of one of these
            two.
        besides: ids of runs to leave out.
        revision_of: returns the revision that another name stands for; empty: none.

    Raises:
        UsageError: the name stands for nothing, or for several runs.
    """
    others = [run for run in known if run.id not in besides]
    if back := runs_back(name):
        found = [run for run in known[back : back + 1] if run.id not in besides]
    elif back == 0:
        found = others[:1]
    else:
        found = (
            [run for run in others if run.branch == name][:BRANCH_RUNS]
            or _by_id(others, name)
            or _by_revision(others, name)[:BRANCH_RUNS]
        )
    if not found and known and (revision := revision_of(name)):
        found = [run for run in others if run.revision == revision][:BRANCH_RUNS]
        name = f"{name} ({revision[:_SHOWN_REVISION]})"
    if not found:
        raise UsageError(_nothing(known, name, besides), hint=_hint(known))
    return found


def runs_back(name: str) -> int | None:
    """Return how many runs before the newest one ``last`` or ``last~2`` is; None: another name."""
    match = re.fullmatch(rf"{LAST}(?:~(\d{{1,6}}))?", name)
    return None if match is None else int(match[1] or 0)


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
    if (runs_back(name) or 0) >= len(known):
        return f"unknown run {name!r}: this project has {counted(len(known), 'recorded run')}"
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
