"""Finds what dockwright made and removes what a dead owner left.

Only what bears our labels is ever seen here, and only what belongs to a dead owner is removed
without being named: never by name prefix, never by prune.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dockwright.engine import PREFIX, Engine, owner_is_alive, parallel, parse_ownership
from dockwright.errors import CleanupError
from dockwright.model import Ownership
from dockwright.places import state_directory
from dockwright.pool.journal import ON_ENGINE, Journal
from dockwright.pool.kept import KeptStacks
from dockwright.pool.traces import Present, dispose, present
from dockwright.stack import COMPOSE_PROJECT, MarkedProcess, kill_processes, marked_processes

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Estate:
    """All that exists of one copy of a stack, or of what one test made by itself.

    Attributes:
        project: its Compose project name.
        ownership: whose it is.
        alive: whether its owner lives (a long-lived stack's always does).
        kept: whether it was kept after a failed test.
        containers: their ids.
        networks: their ids.
        volumes: their names.
        processes: its native processes and their children.
        journal: where a test's own things are written down; None for a copy of a stack.
        traced: what there is of the journal's things.
    """

    project: str
    ownership: Ownership
    alive: bool
    kept: bool
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    processes: list[MarkedProcess] = field(default_factory=list)
    journal: Journal | None = None
    traced: Present = field(default_factory=Present)

    @property
    def long_lived(self) -> bool:
        """Whether it belongs to no process and goes only when it is uninstalled."""
        return self.ownership.owner is None

    @property
    def removable(self) -> bool:
        """Whether its owner is dead, so that nobody will remove it if we do not."""
        return not self.alive and not self.long_lived

    def age_s(self) -> float:
        """Seconds since it was created."""
        return max(0.0, time.time() - self.ownership.created)

    def counts(self) -> dict[str, int]:
        """Return how many things of each kind there are; what is labelled and traced counts once.

        Returns:
            Numbers by ``containers``, ``networks``, ``volumes``, ``processes``, ``images`` and
            ``files`` (directories among them).
        """
        things = self.traced.things
        processes = {each.process.pid for each in self.processes}
        processes |= {each.pid for each in self.traced.processes}
        return {
            "containers": len({*self.containers, *things.get("container", ())}),
            "networks": len({*self.networks, *things.get("network", ())}),
            "volumes": len({*self.volumes, *things.get("volume", ())}),
            "processes": len(processes),
            "images": len(things.get("image", ())),
            "files": len(things.get("file", ())) + len(things.get("directory", ())),
        }

    def __len__(self) -> int:
        return sum(self.counts().values())


def survey(engine: Engine, kept: KeptStacks) -> list[Estate]:
    """Return everything on the engine and this host that bears our labels, by copy, oldest first.

    Args:
        engine: where to look.
        kept: tells which copies were kept on purpose.
    """
    ours = {f"{PREFIX}session": None}
    found = Found(
        containers=engine.list_containers(ours),
        networks=engine.list_networks(ours),
        volumes=engine.list_volumes(ours),
        processes=marked_processes(),
    )
    labelled = {each.project: each for each in estates(found, kept.names())}
    for journal in Journal.all(state_directory()):
        mine = labelled.setdefault(journal.name, _estate_of(journal, kept))
        if mine.ownership.owner == journal.ownership.owner:
            _take_in(mine, journal, engine)
    return sorted(labelled.values(), key=lambda each: each.ownership.created)


def _estate_of(journal: Journal, kept: KeptStacks) -> Estate:
    owner = journal.ownership.owner
    alive = owner is None or owner_is_alive(owner)
    return Estate(journal.name, journal.ownership, alive, journal.name in kept.names())


def _take_in(estate: Estate, journal: Journal, engine: Engine | None) -> None:
    with suppress(FileNotFoundError):  # its owner ended it meanwhile
        until_s = None if estate.alive else journal.last_seen_s
        estate.traced = present(journal, engine, until_s=until_s)
        estate.journal = journal


@dataclass(frozen=True, slots=True)
class Found:
    """What was listed on an engine and a host: the engine's documents, and marked processes."""

    containers: Sequence[Mapping[str, Any]] = ()
    networks: Sequence[Mapping[str, Any]] = ()
    volumes: Sequence[Mapping[str, Any]] = ()
    processes: Sequence[MarkedProcess] = ()


def estates(found: Found, kept: Collection[str]) -> list[Estate]:
    """Sort what was found into copies; what does not bear our whole set of labels is left out.

    Args:
        found: everything that was listed.
        kept: the project names of the copies that were kept on purpose.
    """
    known: dict[str, Estate] = {}

    def estate(project: str | None, ownership: Ownership | None) -> Estate | None:
        if not project or ownership is None:
            return None
        if project not in known:
            alive = ownership.owner is None or owner_is_alive(ownership.owner)
            known[project] = Estate(project, ownership, alive, project in kept)
        # One project name under two owners cannot be ours to judge: only the first one's goes.
        return known[project] if known[project].ownership.owner == ownership.owner else None

    for kind, key in (("containers", "Id"), ("networks", "Id"), ("volumes", "Name")):
        for document in getattr(found, kind):
            labels = document.get("Labels") or {}
            mine = estate(labels.get(COMPOSE_PROJECT), parse_ownership(labels))
            if mine is not None:
                getattr(mine, kind).append(document[key])
    for marked in found.processes:
        mine = estate(marked.project, marked.ownership)
        if mine is not None:
            mine.processes.append(marked)
    return sorted(known.values(), key=lambda each: each.ownership.created)


def abandoned(found: Iterable[Estate], project: str) -> list[Estate]:
    """Return those of the project with this hash whose owner is dead and that nobody kept."""
    return [
        each
        for each in found
        if each.removable and not each.kept and each.ownership.project == project
    ]


def remove(engine: Engine, estates: Iterable[Estate], kept: KeptStacks) -> None:
    """Remove everything of `estates`, at once.

    Raises:
        EngineError: or an `ExceptionGroup` of errors: something could not be removed.
    """
    doomed = list(estates)
    # First what tests made themselves: it may hang on what is labelled.
    failures = [failure for estate in doomed for failure in _end_journal(estate, engine)]
    kill_processes(marked.process for estate in doomed for marked in estate.processes)
    parallel.run(
        [partial(engine.remove_container, each) for estate in doomed for each in estate.containers]
    )
    parallel.run(
        [partial(engine.remove_network, each) for estate in doomed for each in estate.networks]
        + [partial(engine.remove_volume, each) for estate in doomed for each in estate.volumes]
    )
    for estate in doomed:
        kept.forget(estate.project)
    if failures:
        raise ExceptionGroup("not all that dead tests left could be removed", failures)


def _end_journal(estate: Estate, engine: Engine | None) -> list[CleanupError]:
    """Remove what a journal tells of, and the journal, unless something has to stay."""
    if estate.journal is None:
        return []
    failures = dispose(estate.traced, engine)
    here = engine.endpoint.url if engine is not None else ""
    elsewhere = [
        trace
        for trace in estate.journal.traces()
        if trace.kind in ON_ENGINE and trace.engine != here
    ]
    if elsewhere and not failures:  # it stays for whoever looks at that engine
        with suppress(FileNotFoundError):  # somebody else has just done that
            estate.journal.replace(elsewhere)
    elif not failures:
        estate.journal.remove()
    return failures


def reap_journals(project: str, kept: KeptStacks, engine: Engine | None = None) -> None:
    """Remove what dead tests of the project with this hash wrote down.

    Args:
        project: the hash of its root directory.
        kept: tells what was kept on purpose.
        engine: None: what is on an engine stays, and so does its journal.
    """
    for journal in Journal.all(state_directory()):
        estate = _estate_of(journal, kept)
        if abandoned([estate], project):
            _take_in(estate, journal, engine)
            for failure in _end_journal(estate, engine):
                _log.warning("%s", failure)


def reap(engine: Engine, project: str, kept: KeptStacks) -> int:
    """Remove what dead owners of the project with this hash left, except what was kept on purpose.

    Returns:
        How many containers, networks, volumes and processes are gone.
    """
    doomed = abandoned(survey(engine, kept), project)
    if doomed:
        _log.info("reap projects=%s", [estate.project for estate in doomed])
        remove(engine, doomed, kept)
    return sum(len(estate) for estate in doomed)
